//! Kernel arguments: rendered text becomes a list of words.

use crate::ipxe::Word;

/// The longest command line that is accepted, in bytes.
pub const MAX_COMMAND_LINE: usize = 4096;
/// The longest one without a warning: the kernel of x86 cuts at 2048 bytes with the closing NUL.
pub const WARN_COMMAND_LINE: usize = 2047;

/// Why kernel arguments were refused. Never quotes a value: values may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// One of them cannot stand in a boot script.
    #[error("kernel argument {position} ({key}) cannot stand in a boot script: {reason}")]
    Word {
        /// Which one, from 1.
        position: usize,
        /// Its name, what stands before the `=`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// All together are too long.
    #[error("the kernel arguments have {0} bytes together; at most {MAX_COMMAND_LINE} are possible")]
    TooLong(usize),
    /// A platform's own rule.
    #[error("{0}")]
    Platform(String),
}

/// The name of an argument: what stands before the `=`.
pub fn arg_key(arg: &str) -> &str {
    arg.split('=').next().unwrap_or(arg)
}

/// Splits rendered `boot_params` into arguments.
pub fn split_args(rendered: &str) -> Result<Vec<Word>, ArgsError> {
    let mut words = Vec::new();
    for (index, text) in rendered.split_whitespace().enumerate() {
        words.push(word(index + 1, text)?);
    }
    check_total(&words)?;
    Ok(words)
}

pub(crate) fn word(position: usize, text: &str) -> Result<Word, ArgsError> {
    Word::new(text).map_err(|_| ArgsError::Word {
        position,
        key: safe_key(text),
        // Not the encoder's words: they may quote the argument.
        reason: reason(text).to_owned(),
    })
}

/// The name if it is one; an argument without `=` is all value and is not shown.
fn safe_key(text: &str) -> String {
    let key = arg_key(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    if key.len() < text.len() && !key.is_empty() && key.len() <= 64 && key.bytes().all(plain) {
        key.to_owned()
    } else {
        "without a plain name".to_owned()
    }
}

fn reason(text: &str) -> &'static str {
    if !text.is_ascii() {
        "only ASCII characters are possible"
    } else if text.bytes().any(|b| b.is_ascii_control()) {
        "control characters are not possible"
    } else if text.contains("${") {
        "iPXE would expand '${'; write %24%7B where a URL needs it"
    } else if ["||", "&&", ";"].contains(&text) {
        "iPXE would read it as the end of the command"
    } else if text.starts_with('#') {
        "iPXE would read it as a comment"
    } else if text.ends_with('\\') {
        "iPXE would join it with the next line"
    } else if text.len() > crate::ipxe::word::MAX_WORD {
        "it is too long for one argument"
    } else {
        "the boot script cannot carry it"
    }
}

/// The length of the arguments as one line; refused when no kernel would take it.
pub fn check_total(words: &[Word]) -> Result<usize, ArgsError> {
    let total = words.iter().map(|w| w.as_str().len() + 1).sum::<usize>().saturating_sub(1);
    if total > MAX_COMMAND_LINE { Err(ArgsError::TooLong(total)) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whitespace_of_every_kind_separates() {
        let words = split_args("  a=1\tb\n\r\n c=d=e ---\n").unwrap();
        let words: Vec<&str> = words.iter().map(Word::as_str).collect();
        assert_eq!(words, ["a=1", "b", "c=d=e", "---"]);
        assert_eq!(split_args(" \n"), Ok(vec![]));
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(check_total(&split_args(&"xyz ".repeat(1024)).unwrap()), Ok(4095));
        let one = split_args(&"x".repeat(4097)).unwrap_err().to_string();
        assert!(one.contains("too long"), "{one}");
        assert_eq!(split_args(&"xyz ".repeat(1025)), Err(ArgsError::TooLong(4099)));
    }

    #[test]
    fn an_error_names_the_argument_but_not_its_value() {
        let shown = |text: &str| {
            ArgsError::Word { position: 2, key: safe_key(text), reason: reason(text).to_owned() }.to_string()
        };
        assert_eq!(
            shown("talos.config=http://x/?t=hunter2${uuid}"),
            "kernel argument 2 (talos.config) cannot stand in a boot script: \
             iPXE would expand '${'; write %24%7B where a URL needs it"
        );
        for text in
            ["a=hunter2${b}", "||", ";", "#hunter2", "a=hunter2\\", "a=hunter2\u{e4}", "a=\u{1b}hunter2"]
        {
            let error = split_args(&format!("ok {text}")).unwrap_err();
            assert!(matches!(error, ArgsError::Word { position: 2, .. }));
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for text in ["hunter2\u{e4}", "#hunter2", "hunter2\\", "hun ter2=x${", "${hunter2=x"] {
            assert!(!shown(text).contains("ter2"), "{}", shown(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_split_or_refused(text in any::<String>()) {
            let _ = split_args(&text);
        }
    }
}
