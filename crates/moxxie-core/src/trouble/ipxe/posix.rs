//! What kind of error it is: bits 24 to 30 of a code.
//!
//! The numbers are iPXE's own (`src/include/errno.h`), in the order of the names; the last is for
//! errors of the firmware.

/// Number of an error that the firmware gave.
const PLATFORM: u32 = 0x7f;

/// Name and meaning of a code's kind; `None` for numbers that iPXE does not use.
pub(super) fn posix(code: u32) -> Option<(&'static str, &'static str)> {
    match (code >> 24) & 0x7f {
        0 => None,
        PLATFORM => Some(("EPLATFORM", "the firmware refused")),
        number => NAMES.get(number as usize - 1).copied(),
    }
}

/// Number 1 and on.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("E2BIG", "too many arguments"),
    ("EACCES", "permission denied"),
    ("EADDRINUSE", "the address is in use"),
    ("EADDRNOTAVAIL", "no address available"),
    ("EAFNOSUPPORT", "address family not supported"),
    ("EAGAIN", "not available now"),
    ("EALREADY", "already in progress"),
    ("EBADF", "bad file descriptor"),
    ("EBADMSG", "bad message"),
    ("EBUSY", "device or resource busy"),
    ("ECANCELED", "canceled"),
    ("ECHILD", "no child process"),
    ("ECONNABORTED", "connection aborted"),
    ("ECONNREFUSED", "connection refused"),
    ("ECONNRESET", "connection reset"),
    ("EDEADLK", "would deadlock"),
    ("EDESTADDRREQ", "destination address needed"),
    ("EDOM", "argument out of domain"),
    ("EDQUOT", "quota exceeded"),
    ("EEXIST", "it exists already"),
    ("EFAULT", "bad address"),
    ("EFBIG", "file too large"),
    ("EHOSTUNREACH", "host unreachable"),
    ("EIDRM", "identifier removed"),
    ("EILSEQ", "illegal byte sequence"),
    ("EINPROGRESS", "still in progress"),
    ("EINTR", "interrupted"),
    ("EINVAL", "invalid data or argument"),
    ("EIO", "input/output error"),
    ("EISCONN", "connected already"),
    ("EISDIR", "is a directory"),
    ("ELOOP", "too many links"),
    ("EMFILE", "too many open files"),
    ("EMLINK", "too many links"),
    ("EMSGSIZE", "message too long"),
    ("EMULTIHOP", "multihop attempted"),
    ("ENAMETOOLONG", "name too long"),
    ("ENETDOWN", "network down"),
    ("ENETRESET", "connection aborted by the network"),
    ("ENETUNREACH", "network unreachable"),
    ("ENFILE", "too many open files"),
    ("ENOBUFS", "no buffer space"),
    ("ENODATA", "no data"),
    ("ENODEV", "no such device"),
    ("ENOENT", "not found"),
    ("ENOEXEC", "cannot be executed (exec format error)"),
    ("ENOLCK", "no locks"),
    ("ENOLINK", "link severed"),
    ("ENOMEM", "not enough memory"),
    ("ENOMSG", "no such message"),
    ("ENOPROTOOPT", "protocol not available"),
    ("ENOSPC", "no space left"),
    ("ENOSR", "no stream resources"),
    ("ENOSTR", "not a stream"),
    ("ENOSYS", "not implemented"),
    ("ENOTCONN", "not connected"),
    ("ENOTDIR", "not a directory"),
    ("ENOTEMPTY", "directory not empty"),
    ("ENOTSOCK", "not a socket"),
    ("ENOTSUP", "not supported"),
    ("ENOTTY", "wrong kind of object"),
    ("ENXIO", "no such device or address"),
    ("EOPNOTSUPP", "not supported on this socket"),
    ("EOVERFLOW", "value too large"),
    ("EPERM", "not permitted"),
    ("EPIPE", "broken pipe"),
    ("EPROTO", "protocol error"),
    ("EPROTONOSUPPORT", "protocol not supported"),
    ("EPROTOTYPE", "wrong protocol for this socket"),
    ("ERANGE", "result too large"),
    ("EROFS", "read-only"),
    ("ESPIPE", "invalid seek"),
    ("ESRCH", "no such process"),
    ("ESTALE", "stale file handle"),
    ("ETIME", "timer expired"),
    ("ETIMEDOUT", "timed out"),
    ("ETXTBSY", "file busy"),
    ("EWOULDBLOCK", "would block"),
    ("EXDEV", "improper link"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_ipxe() {
        let name = |number: u32| posix(number << 24).map(|(name, _)| name);
        // Spots along errno.h: a name left out would shift all that follow.
        for (number, want) in [
            (0x01, "E2BIG"),
            (0x0e, "ECONNREFUSED"),
            (0x17, "EHOSTUNREACH"),
            (0x1c, "EINVAL"),
            (0x2d, "ENOENT"),
            (0x38, "ENOTCONN"),
            (0x3e, "ENXIO"),
            (0x43, "EPROTO"),
            (0x4c, "ETIMEDOUT"),
            (0x4f, "EXDEV"),
            (0x7f, "EPLATFORM"),
        ] {
            assert_eq!(name(number), Some(want));
        }
        assert!((0x50..0x7f).chain([0]).all(|number| name(number).is_none()));
    }
}
