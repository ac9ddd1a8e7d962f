//! Reads RouterOS commands: what `/export` writes in versions 6 and 7, folded or `terse`, and the
//! scripts of this folder. It reads for comparison, not to run anything: what it does not understand
//! it passes over, whatever the input, in one pass.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// A value behind `name=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, without quotes and escapes.
    Text(String),
    /// Something that only the router can work out; the text that it ends in, if it is known.
    Open(String),
}

impl Value {
    /// The text; what is open has none.
    pub fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            Value::Open(_) => "",
        }
    }
}

/// One command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The menu, such as `/ip dhcp-server option`.
    pub menu: String,
    /// What to do there: `add`, `set`, `remove`, …
    pub verb: String,
    /// Named arguments; of one that is given twice, the last.
    pub args: BTreeMap<String, Value>,
    /// What stands in the first `[ ]`, such as `find where address=10.0.0.0/24`.
    pub target: String,
}

impl Command {
    /// An argument's text; empty where it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.args.get(name).map_or("", Value::text)
    }

    /// The value that `[find … name=value …]` asks for.
    pub fn target_value(&self, name: &str) -> Option<String> {
        let mut words = Words { chars: self.target.chars().peekable() };
        while let Some(token) = words.next_token() {
            if let Token::Named(found, value) = token
                && found == name
            {
                return Some(value.text().to_owned());
            }
        }
        None
    }
}

/// The verbs; any other word without a value belongs to a menu's name.
const VERBS: &[&str] = &[
    "add", "set", "remove", "unset", "find", "get", "print", "export", "enable", "disable", "move",
    "comment", "reset", "fetch", "import",
];

/// The commands of a text, in order.
pub fn commands(text: &str) -> Vec<Command> {
    let text = unfolded(text);
    let mut words = Words { chars: text.chars().peekable() };
    let mut reader = Reader::default();
    while let Some(token) = words.next_token() {
        reader.take(token);
    }
    reader.end();
    reader.commands
}

/// Lines that `\` at their end folds are one, without the spaces that the next begins with: an export
/// folds inside of strings, too.
fn unfolded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).peekable();
    let mut folded = false;
    while let Some(line) = lines.next() {
        let line = if folded { line.trim_start_matches(' ') } else { line };
        // A doubled backslash is one in a string, and folds nothing.
        let slashes = line.len() - line.trim_end_matches('\\').len();
        folded = slashes % 2 == 1 && lines.peek().is_some();
        match folded {
            true => out.push_str(&line[..line.len() - 1]),
            false => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

enum Token {
    /// A line break, `;` or a brace.
    End,
    /// A word without `=`.
    Word(String),
    /// `name=value`.
    Named(String, Value),
    /// What stands in `[ ]`.
    Target(String),
}

#[derive(Default)]
struct Reader {
    commands: Vec<Command>,
    /// The menu that a line of its own has opened.
    menu: String,
    command: Command,
    /// Whether this command began with `/`.
    rooted: bool,
    /// Whether anything of it was read, and whether it is one for us.
    begun: bool,
    ignored: bool,
}

impl Reader {
    fn take(&mut self, token: Token) {
        match token {
            Token::End => self.end(),
            _ if self.ignored => {}
            Token::Word(word) => self.word(&word),
            Token::Named(name, value) => {
                self.begun = true;
                self.command.args.insert(name, value);
            }
            Token::Target(text) => {
                self.begun = true;
                if self.command.target.is_empty() {
                    self.command.target = text;
                }
            }
        }
    }

    fn word(&mut self, word: &str) {
        if !self.begun && (word.starts_with(':') || word.starts_with('$')) {
            self.ignored = true;
            return;
        }
        if !self.begun {
            self.begun = true;
            self.rooted = word.starts_with('/');
            if !self.rooted {
                self.command.menu.clone_from(&self.menu);
            }
        }
        if !self.command.verb.is_empty() {
            return;
        }
        for part in word.split('/').filter(|part| !part.is_empty()) {
            if VERBS.contains(&part) {
                part.clone_into(&mut self.command.verb);
            } else {
                let lead = if self.command.menu.is_empty() { "/" } else { " " };
                self.command.menu.push_str(lead);
                self.command.menu.push_str(part);
            }
        }
    }

    fn end(&mut self) {
        let command = std::mem::take(&mut self.command);
        if self.begun && !self.ignored {
            match command.verb.is_empty() {
                false => self.commands.push(command),
                true if self.rooted => self.menu = command.menu,
                true => {}
            }
        }
        (self.rooted, self.begun, self.ignored) = (false, false, false);
    }
}

struct Words<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Words<'_> {
    fn next_token(&mut self) -> Option<Token> {
        loop {
            match *self.chars.peek()? {
                '\n' | ';' | '{' | '}' => {
                    self.chars.next();
                    return Some(Token::End);
                }
                '#' => {
                    while self.chars.peek().is_some_and(|c| *c != '\n') {
                        self.chars.next();
                    }
                }
                '[' => return Some(Token::Target(self.bracketed())),
                '(' | ')' | ']' => {
                    self.chars.next();
                }
                c if c.is_whitespace() => {
                    self.chars.next();
                }
                _ => return Some(self.word()),
            }
        }
    }

    /// A word, up to white space or the end of the command; `name=value` from its first `=` on.
    fn word(&mut self) -> Token {
        let mut name = String::new();
        while let Some(&c) = self.chars.peek() {
            match c {
                '=' => {
                    self.chars.next();
                    return Token::Named(name, self.value());
                }
                '"' => {
                    self.chars.next();
                    name.push_str(&self.quoted().0);
                }
                c if c.is_whitespace() || ";{}[]()".contains(c) => break,
                c => {
                    self.chars.next();
                    name.push(c);
                }
            }
        }
        Token::Word(name)
    }

    fn value(&mut self) -> Value {
        let (mut text, mut open) = (String::new(), false);
        while let Some(&c) = self.chars.peek() {
            match c {
                '"' => {
                    self.chars.next();
                    let (part, variable) = self.quoted();
                    if variable {
                        (text, open) = (String::new(), true);
                    }
                    text.push_str(&part);
                }
                '[' => {
                    self.bracketed();
                    (text, open) = (String::new(), true);
                }
                '(' => {
                    (text, open) = (self.parenthesized(), true);
                }
                '$' => {
                    self.chars.next();
                    while self.chars.peek().is_some_and(|c| c.is_ascii_alphanumeric()) {
                        self.chars.next();
                    }
                    (text, open) = (String::new(), true);
                }
                '{' | '}' | ';' | ']' | ')' => break,
                c if c.is_whitespace() => break,
                c => {
                    self.chars.next();
                    text.push(c);
                }
            }
        }
        if open { Value::Open(text) } else { Value::Text(text) }
    }

    /// The rest of a string, without escapes, and whether a variable stands in it; then the text is
    /// what follows the last one.
    fn quoted(&mut self) -> (String, bool) {
        let (mut bytes, mut variable) = (Vec::new(), false);
        while let Some(c) = self.chars.next() {
            match c {
                '"' => break,
                '$' => {
                    (bytes, variable) = (Vec::new(), true);
                    while self.chars.peek().is_some_and(|c| c.is_ascii_alphanumeric()) {
                        self.chars.next();
                    }
                }
                '\\' => match self.chars.next() {
                    Some('n') => bytes.push(b'\n'),
                    Some('r') => bytes.push(b'\r'),
                    Some('t') => bytes.push(b'\t'),
                    Some('_') => bytes.push(b' '),
                    Some(high) => {
                        match (high.to_digit(16), self.chars.peek().and_then(|low| low.to_digit(16))) {
                            (Some(high), Some(low)) => {
                                self.chars.next();
                                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                            }
                            _ => bytes.extend(high.encode_utf8(&mut [0; 4]).bytes()),
                        }
                    }
                    None => {}
                },
                c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        (String::from_utf8_lossy(&bytes).into_owned(), variable)
    }

    /// What stands between `[` and its `]`, as it is written.
    fn bracketed(&mut self) -> String {
        let (mut out, mut depth, mut string) = (String::new(), 0_usize, false);
        while let Some(c) = self.chars.next() {
            match c {
                '"' => string = !string,
                '\\' if string => {
                    out.push(c);
                    out.extend(self.chars.next());
                    continue;
                }
                '[' if !string => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                ']' if !string => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
            out.push(c);
        }
        out
    }

    /// An expression in `( )`: only the string that it ends in is of interest.
    fn parenthesized(&mut self) -> String {
        let (mut last, mut depth) = (String::new(), 0_usize);
        while let Some(c) = self.chars.next() {
            match c {
                '"' => last = self.quoted().0,
                '(' => depth += 1,
                ')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                '$' => last.clear(),
                _ => {}
            }
        }
        last
    }
}

#[cfg(test)]
mod tests;
