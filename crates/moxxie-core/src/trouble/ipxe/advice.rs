//! What to do about the codes that operators meet. What has no row here is explained by its parts.

/// Cause, check and fix for the codes that agree with `code` in the bits of `bits`.
pub(super) struct Advice {
    pub(super) code: u32,
    pub(super) bits: u32,
    pub(super) title: &'static str,
    pub(super) cause: &'static str,
    pub(super) check: &'static str,
    pub(super) fix: &'static str,
    /// Symptoms to read on with.
    pub(super) symptoms: &'static [&'static str],
}

/// Everything but the platform's byte.
const EXACT: u32 = 0x7fff_ff00;
/// Kind and file, whatever the cause.
const FILE: u32 = 0x7fff_e000;
/// The kind alone.
pub(super) const KIND: u32 = 0x7f00_0000;

/// The advice for a code: the first row that agrees, and special rows stand before general ones.
pub(super) fn advice(code: u32) -> Option<&'static Advice> {
    ADVICE.iter().find(|row| code & row.bits == row.code)
}

macro_rules! advice {
    ($($code:literal $bits:ident $title:literal $cause:literal $check:literal $fix:literal $symptoms:expr;)*) => {
        /// The table.
        pub(super) const ADVICE: &[Advice] = &[$(Advice {
            code: $code, bits: $bits, title: $title, cause: $cause, check: $check, fix: $fix,
            symptoms: &$symptoms,
        }),*];
    };
}

#[rustfmt::skip]
advice! {
    0x040e_e100 EXACT "No DHCP answer in time"
        "iPXE tried every way to get an address and got none: the port is not forwarding yet, or no DHCP server answers in this VLAN."
        "Run `dhcp` again at the iPXE prompt: if it works now, the port was too slow. If not, watch udp/67-68 at the DHCP server."
        "Make the port an edge port (portfast). Bring DHCP, or a relay, into this VLAN."
        ["ipxe-no-configuration", "managed-switch-only"];
    0x2808_6000 EXACT "Sent on an interface that is not open"
        "A packet was sent before the interface was opened, or after it was closed. It is noise beside another error, most often 040ee1."
        "Look at the other error on the screen."
        "Follow that one."
        ["ipxe-no-configuration"];
    0x3808_6100 EXACT "Link down"
        "The network card sees no link."
        "Run `ifstat` at the iPXE prompt. Look at cable, optic, speed and the port's state."
        "Mend the link. A port that BPDU guard shut has to be brought up again."
        ["pxe-e61", "managed-switch-only"];
    0x1a08_6100 EXACT "The link's state is not known yet"
        "The card came up and has not said whether there is a link."
        "Run `ifstat` at the iPXE prompt, some seconds later."
        "Wait before DHCP (`sleep 10`), or take the loader that uses the firmware's driver: snponly.efi, undionly.kpxe."
        ["old-nic-first-dhcp"];
    0x2d03_e100 EXACT "Nothing to boot"
        "DHCP gave an address, and no boot file for iPXE."
        "Run `show filename` and `show next-server` at the iPXE prompt."
        "Give clients of the user class iPXE the menu's URL, or put autoexec.ipxe beside the loader."
        ["pxe-e53"];
    0x3e11_6100 EXACT "The DNS name does not exist"
        "The name in a URL is not known to the name server."
        "Run `nslookup addr NAME` at the iPXE prompt, and the same from another machine in that network."
        "Use an address in the server's --public-url, or mend the name."
        ["dns"];
    0x3e11_6200 EXACT "No name server"
        "A URL has a name in it, and DHCP named no name server (option 6)."
        "Run `show dns` at the iPXE prompt."
        "Add option 6 to the DHCP pool, or use an address in the server's --public-url."
        ["dns"];
    0x1c12_6100 EXACT "The TFTP server's block size is invalid"
        "The server answered with a block size that is no number."
        "Capture udp/69 and look at the OACK."
        "Update or replace the TFTP server."
        ["pxe-e35"];
    0x2d12_6000 FILE "File not found on the TFTP server"
        "The TFTP server has no file of this name: a typo, upper and lower case, a leading slash, or a rule that does not match."
        "Read the name in the TFTP server's log."
        "Put the file there under exactly that name. `autoexec.ipxe` that is missing does no harm when the loader has a script of its own."
        ["tftp-not-found", "autoexec-missing"];
    0x3c12_6000 FILE "The TFTP server refused"
        "The server sent an error that is not \"file not found\". MikroTik answers so for a file without a rule."
        "Read the TFTP server's log; try the file with a TFTP client from the same VLAN."
        "Add the file or its rule. For `autoexec.ipxe` it does no harm when the loader has a script of its own."
        ["autoexec-missing", "tftp-not-found"];
    0x0212_6000 FILE "The TFTP server denies access"
        "The file is there, and the server may not read it or does not give it to this address."
        "Read the TFTP server's log; look at the file's mode and the server's address filter."
        "Make the file readable; allow the network."
        ["pxe-e3c"];
    0x4c12_6000 FILE "TFTP timed out"
        "No answer on udp/69, or the answer, which comes from another port, is dropped on its way."
        "Try the same file with a TFTP client from the same VLAN."
        "Start TFTP, let its answers through, or set the right next server."
        ["pxe-e32", "pxe-e35"];
    0x2d0c_6100 EXACT "HTTP 404 Not Found"
        "The server has no such file or profile under this name."
        "Look at the URL on the screen: `moxxie asset list PROFILE`, `moxxie explain --mac MAC`."
        "Upload the file under this name, or mend the profile."
        ["http-refused"];
    0x020c_6100 EXACT "HTTP 401 Unauthorized"
        "The server wants a password. Moxxie's boot routes want none: another server or a proxy answers."
        "Look at the URL on the screen, and what `curl -i URL` says from the same VLAN."
        "Mend the URL, or take the proxy out of the way."
        ["http-refused"];
    0x410c_6100 EXACT "HTTP 403 Forbidden"
        "The machine's address is not on the list of those that may boot, or its token is used up."
        "`moxxie events --mac MAC`, and the server's log by the machine's address."
        "Add the network to access.allow, or arm the machine again."
        ["http-refused"];
    0x1d0c_6400 EXACT "HTTP 4xx: the server refused"
        "The request was refused, and not with 401, 403 or 404."
        "The server's log has the line; `curl -i URL` from the same VLAN shows the answer."
        "Follow that answer."
        ["http-refused"];
    0x1d0c_6500 EXACT "HTTP 5xx: the server failed"
        "The server, or what stands behind it, has an error."
        "`/readyz` of the server and its log."
        "Bring back the database or the asset store; a proxy in front needs its backend."
        ["http-refused"];
    0x1d0c_6200 EXACT "Fewer bytes than promised"
        "The connection ended before the whole file had come, or a proxy changed it."
        "Event `download.aborted` in `moxxie events`; does it stop at the same place each time?"
        "Look at cable, MTU and proxies on the way."
        [];
    0x1d0c_6100 EXACT "An answer of HTTP that iPXE does not know"
        "The server answered with a status that this build does not know; old builds say so of every 5xx."
        "The server's log has the line; `curl -i URL` from the same VLAN shows the answer."
        "Follow that answer."
        ["http-refused"];
    0x4c0a_6000 FILE "The TCP connection timed out"
        "Nothing answers at this address and port, or a firewall drops it."
        "`curl http://MOXXIE:8080/livez` from the same VLAN."
        "Open the port, mend the route or the gateway in DHCP."
        [];
    0x0f0a_6000 FILE "The TCP connection was reset"
        "The host is there and nothing listens at this port, or a firewall refuses."
        "`curl http://MOXXIE:8080/livez` from the same VLAN; is the server running, and does --listen name this address?"
        "Start the server, or mend address and port in the URL."
        [];
    0x3c09_2000 FILE "This iPXE does not know the URL's protocol"
        "The protocol was not built in. Stock BIOS builds have no https."
        "The first line of iPXE lists its features: is HTTPS among them?"
        "Use http:// in a boot network of its own, or a build with HTTPS."
        ["https-not-built-in"];
    0x2e00_8000 FILE "Not a file that this iPXE can start (exec format error)"
        "The file is for another firmware or processor, or it is no program: an error page, half a file, an initrd in the place of a kernel."
        "Compare DHCP option 93 with the file; look at the file's first bytes and its size."
        "Give each architecture its own file. With Secure Boot, a kernel needs a signature that the firmware or the shim knows."
        ["exec-format", "secure-boot"];
    0x0200_8100 EXACT "The image is not trusted"
        "The script runs with `imgtrust`, and the image was not verified."
        "Is there an `imgverify` with the right signature before it?"
        "Sign the image, or take `imgtrust` out."
        [];
    0x7f04_8100 EXACT "The firmware refused to load the program"
        "With Secure Boot: it is not signed by a key that the firmware knows. Without: it is no UEFI program for this processor."
        "Is Secure Boot on? Is the file for this architecture?"
        "Boot through a signed shim, or switch Secure Boot off; give the right file."
        ["secure-boot", "exec-format"];
    0x7f04_8200 EXACT "The program was started and came back with an error"
        "The firmware loaded the program, and it failed by itself; a shim says so for a kernel that it does not trust."
        "Read what it printed before this line."
        "Follow that. With Secure Boot, sign the kernel with a key that the shim knows."
        ["secure-boot"];
    0x0216_e400 EXACT "A certificate is expired or not yet valid"
        "Most often the machine's clock is wrong; else the server's certificate ran out."
        "Run `show unixtime` at the iPXE prompt; look at the certificate's dates."
        "Set the clock in the firmware, or run `ntp` first (UEFI builds); renew the certificate."
        ["https"];
    0x0216_eb00 EXACT "No usable certificate"
        "The server's chain ends at no root that this iPXE knows, or it could not fetch the cross-signed one."
        "Who signed the server's certificate? Can the machine reach ca.ipxe.org?"
        "Build iPXE with your CA (TRUST=, CERT=), serve the cross certificate (`set crosscert`), or use http."
        ["https"];
    0x0216_e600 EXACT "The root certificate is not trusted"
        "The server's chain ends at a root that this iPXE does not know, such as a private CA."
        "Who signed the server's certificate?"
        "Build iPXE with your CA (TRUST=, CERT=), or use http in a network of its own."
        ["https"];
    0x0216_ea00 EXACT "The certificate is for another name"
        "The name or address in the URL is not in the certificate."
        "Compare the URL on the screen with the certificate's names."
        "Use the certificate's name in --public-url, or add the name to the certificate."
        ["https"];
    0x410d_e100 EXACT "The server broke off TLS"
        "The server sent a fatal alert: it likes no version, cipher or curve that this iPXE offers."
        "The server's TLS log names the alert."
        "Allow TLS 1.2 with RSA or ECDHE and AES (ipxe.org/crypto), or use a newer iPXE."
        ["https"];
    0x3c0d_e000 FILE "TLS: cipher, version, signature or group not supported"
        "The server chose something that this iPXE does not know."
        "Compare the server's TLS settings with ipxe.org/crypto."
        "Allow TLS 1.2 with RSA or ECDHE and AES, or use a newer iPXE."
        ["https"];
    0x0e00_0000 KIND "The connection was refused"
        "The host is there and nothing listens at this port."
        "Is the server running, and at this address and port?"
        "Start it, or mend the URL."
        [];
    0x3100_0000 KIND "Not enough memory"
        "The file, or what it is unpacked into, does not fit: iPXE in BIOS mode has little room, and an initrd needs RAM."
        "Compare the size of kernel and initrd with the machine's RAM."
        "Use UEFI, a smaller file, or more RAM."
        [];
    0x0b00_0000 KIND "Canceled"
        "Somebody pressed Ctrl-C or Esc, or the connection was closed before it was done."
        "Was a key pressed? A noisy serial console can press one."
        "Try again."
        [];
}
