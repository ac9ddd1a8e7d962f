//! Options, as `src/core/getopt.c` reads them.

/// An option a command knows: long name, letter, whether it takes a value.
pub(super) type Known = (&'static str, char, bool);

/// The options found and the words behind them; `None` is a usage error (`-EINVAL`).
pub(super) struct Parsed {
    pub options: Vec<(char, String)>,
    pub words: Vec<String>,
}

impl Parsed {
    /// The value of the last option with this letter.
    pub fn get(&self, letter: char) -> Option<&str> {
        self.options.iter().rev().find(|(l, _)| *l == letter).map(|(_, v)| v.as_str())
    }
    /// Whether the option is there.
    pub fn has(&self, letter: char) -> bool {
        self.get(letter).is_some()
    }
}

/// Reads options up to the first word without `-` in front, or `--`. A value may be in the same
/// word (`--name=x`, `-nx`) or in the next, but not one that begins with `-`.
pub(super) fn parse(args: &[String], known: &[Known], min: usize, max: usize) -> Option<Parsed> {
    let mut options = Vec::new();
    let mut at = 0;
    while let Some(body) = args.get(at).and_then(|a| a.strip_prefix('-')) {
        at += 1;
        let next = |at: usize| args.get(at).filter(|a| !a.starts_with('-')).cloned();
        if let Some(long) = body.strip_prefix('-') {
            if long.is_empty() {
                break;
            }
            let (name, inline) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let (_, letter, takes) = known.iter().find(|(n, _, _)| *n == name)?;
            let value = match (takes, inline) {
                (true, Some(value)) => value,
                (true, None) => {
                    at += 1;
                    next(at - 1)?
                }
                (false, None) => String::new(),
                (false, Some(_)) => return None,
            };
            options.push((*letter, value));
            continue;
        }
        // Letters, several in a word; the first that takes a value ends it.
        let mut letters = body.chars();
        letters.as_str().chars().next()?;
        while let Some(c) = letters.next() {
            let (_, letter, takes) = known.iter().find(|(_, l, _)| *l == c)?;
            if !takes {
                options.push((*letter, String::new()));
                continue;
            }
            let rest = letters.as_str().to_owned();
            let value = if rest.is_empty() {
                at += 1;
                next(at - 1)?
            } else {
                rest
            };
            options.push((*letter, value));
            break;
        }
    }
    let words = args.get(at..).unwrap_or_default().to_vec();
    (min..=max).contains(&words.len()).then_some(Parsed { options, words })
}

/// `parse_integer`: decimal, `0x…` or octal `0…`.
pub(super) fn number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x") {
        u32::from_str_radix(hex, 16).ok()
    } else if text.len() > 1 && text.starts_with('0') {
        u32::from_str_radix(text, 8).ok()
    } else {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &[Known] = &[("name", 'n', true), ("replace", 'r', false)];

    type Found = (Vec<(char, String)>, Vec<String>);

    fn read(line: &str) -> Option<Found> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args, NAMED, 0, 9).map(|p| (p.options, p.words))
    }

    #[test]
    fn options_end_at_the_first_word() {
        let n = |v: &str| ('n', v.to_string());
        assert_eq!(read("--name x u -r"), Some((vec![n("x")], vec!["u".into(), "-r".into()])));
        assert_eq!(read("--name=-x -- --u"), Some((vec![n("-x")], vec!["--u".into()])));
        assert_eq!(read("-rnx"), Some((vec![('r', String::new()), n("x")], vec![])));
        for bad in ["--name", "--name -x", "--what", "-x", "-", "--replace=1", "---"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(
            (number("0x80"), number("017"), number("5"), number("x")),
            (Some(128), Some(15), Some(5), None)
        );
    }
}
