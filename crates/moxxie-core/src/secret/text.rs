//! Masking in texts of any format: YAML, JSON, TOML, INI, preseed, kickstart, shell, and templates
//! of them. Goes line by line and keeps every line, so that line numbers stay useful.

use super::MASK;
use super::name::{is_harmless, is_secret_name};
use super::shape::mask_shapes;

/// A line longer than this is nothing that people wrote. It goes as a whole if it holds a secret.
const LONG: usize = 8 * 1024;

/// What a line is part of.
enum State {
    /// Nothing.
    Plain,
    /// A PEM block of a private key.
    Pem,
    /// Whatever is indented deeper than a secret key, or is an element of its list.
    Below { indent: usize },
    /// A quoted value of a secret key that goes on over lines.
    Quoted { quote: char },
    /// An XML element with the name of a secret.
    Element,
    /// Brackets below a secret key that are open by so many.
    Brackets { depth: usize },
}

/// The text without its secrets.
pub fn mask_text(text: &str) -> String {
    let mut state = State::Plain;
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let (line, end) = match line.strip_suffix('\r') {
            Some(line) => (line, "\r"),
            None => (line, ""),
        };
        let masked = mask_line(line, &mut state);
        if line.len() > LONG && masked != line {
            out.push_str(MASK);
        } else {
            out.push_str(&masked);
        }
        out.push_str(end);
    }
    out
}

fn mask_line(line: &str, state: &mut State) -> String {
    let indent = line.len() - line.trim_start().len();
    let whole = || format!("{}{}", &line[..indent], if line.trim().is_empty() { "" } else { MASK });
    match state {
        State::Pem => {
            if line.contains("-----END") {
                *state = State::Plain;
                return line.to_owned();
            }
            return whole();
        }
        State::Quoted { quote } => {
            let Some(end) = closing(line, *quote) else { return whole() };
            *state = State::Plain;
            let tail = &line[end..];
            let plain = tail[1..].chars().all(|c| c.is_whitespace() || ",}]".contains(c));
            return format!("{}{}", whole(), if plain { tail } else { &tail[..1] });
        }
        State::Element => {
            let Some(end) = line.find("</") else { return whole() };
            *state = State::Plain;
            return format!(
                "{}{}",
                if end > indent { whole() } else { line[..end].to_owned() },
                &line[end..]
            );
        }
        State::Brackets { depth } => {
            let left = balance(line, *depth);
            if left == 0 {
                *state = State::Plain;
            } else {
                *state = State::Brackets { depth: left };
            }
            return match line.trim_matches(|c: char| c.is_whitespace() || "{}[],".contains(c)) {
                "" => line.to_owned(),
                _ => whole(),
            };
        }
        State::Below { indent: key } => {
            let element = indent == *key && line.trim_start().starts_with("- ");
            if line.trim().is_empty() {
                return line.to_owned();
            }
            if indent > *key || element {
                return mask_below(line, indent);
            }
            *state = State::Plain;
        }
        State::Plain => {}
    }
    if let Some(begin) = private_pem(line) {
        // On one line, as in JSON, the end mark follows; otherwise the lines below are the key.
        let (before, rest) = line.split_at(begin);
        let tail = match rest.rfind("-----END").map(|at| &rest[at..]) {
            Some(end) => end[8..].find("-----").map_or("", |at| &end[8 + at + 5..]),
            None if rest.contains("\\n") => "",
            None => {
                let mark = rest[5..].find("-----").map_or(rest.len(), |at| at + 10);
                *state = State::Pem;
                return format!("{}{}", mask_shapes(before), &rest[..mark]);
            }
        };
        return format!("{before}{MASK}{tail}");
    }
    if let Some(masked) = mask_directive(line) {
        return masked;
    }
    let masked = mask_ordinary(line, indent, state);
    let Some((shown, blank)) = command_secret(line) else { return masked };
    // What the lines below belong to is known from the whole line, though only its head is shown.
    format!("{}{blank}{MASK}", mask_ordinary(&line[..shown], indent, &mut State::Plain))
}

/// A line with no words that have a meaning of their own.
fn mask_ordinary(line: &str, indent: usize, state: &mut State) -> String {
    mask_shapes(&mask_element(line, state).unwrap_or_else(|| mask_pairs(line, indent, state)))
}

/// How a command takes a secret.
enum Takes {
    /// In the word after the option, or joined to it; the letter may stand among others.
    Letter(char),
    /// Joined to the option only.
    Joined(&'static str),
    /// In the word after the option.
    Long(&'static str),
}

const COMMANDS: [(&str, Takes); 10] = [
    ("curl", Takes::Letter('u')),
    ("curl", Takes::Letter('U')),
    ("curl", Takes::Long("--user")),
    ("curl", Takes::Long("--proxy-user")),
    ("mysql", Takes::Joined("-p")),
    ("mysqldump", Takes::Joined("-p")),
    ("mysqladmin", Takes::Joined("-p")),
    ("mariadb", Takes::Joined("-p")),
    ("ldapsearch", Takes::Letter('w')),
    ("redis-cli", Takes::Letter('a')),
];

/// How much of the line may be shown before the password that a command on it is given, and what
/// stands between that and the mask.
fn command_secret(line: &str) -> Option<(usize, &'static str)> {
    let apart = |c: char| c.is_whitespace() || ",;|&()[]{}`\"'".contains(c);
    let mut called = [false; COMMANDS.len()];
    let mut at = 0;
    while let Some(begin) = line[at..].find(|c: char| !apart(c)).map(|skip| at + skip) {
        let end = line[begin..].find(apart).map_or(line.len(), |len| begin + len);
        let word = &line[begin..end];
        at = end;
        let Some(option) = word.strip_prefix('-') else {
            let program = word.rsplit('/').next().unwrap_or_default();
            for (called, (command, _)) in called.iter_mut().zip(&COMMANDS) {
                *called |= program == *command;
            }
            continue;
        };
        let takes = called.iter().zip(&COMMANDS).filter(|(called, _)| **called).map(|(_, (_, takes))| takes);
        let found = takes.filter_map(|takes| match takes {
            Takes::Letter(letter) if !option.starts_with('-') => {
                let letter = option.find(*letter)?;
                option[..letter].bytes().all(|b| b.is_ascii_alphabetic()).then_some(begin + letter + 2)
            }
            Takes::Joined(name) if word.starts_with(name) => {
                let joined = word.len() > name.len() || line[end..].starts_with(['"', '\'']);
                joined.then_some(begin + name.len())
            }
            Takes::Long(name) => {
                let value = word.strip_prefix(name)?;
                let length = name.len() + value.len().min(1);
                (value.is_empty() || value.starts_with('=')).then_some(begin + length)
            }
            _ => None,
        });
        if let Some(shown) = found.min() {
            let ends = shown == end && !line[..end].ends_with('=') && !line[end..].starts_with(['"', '\'']);
            // Nothing is given: the command asks for it.
            if ends && line[end..].trim().is_empty() {
                return None;
            }
            return Some((shown, if ends { " " } else { "" }));
        }
    }
    None
}

/// A line below a secret key: keys stay, values go.
fn mask_below(line: &str, indent: usize) -> String {
    let text = line[indent..].trim_end();
    let (dash, text) = match text.strip_prefix("- ") {
        Some(rest) => ("- ", rest.trim_start()),
        None => ("", text),
    };
    let key = text.split_once(':').filter(|(key, value)| {
        (value.is_empty() || value.starts_with(' '))
            && key.len() <= 40
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    });
    let pad = &line[..indent];
    match key {
        Some((key, value)) if is_harmless(value) && !is_secret_word(key) => {
            format!("{pad}{dash}{key}:{value}")
        }
        Some((key, _)) if !is_secret_word(key) => format!("{pad}{dash}{key}: {MASK}"),
        _ if text.starts_with("#") && text.len() < 2 => line.to_owned(),
        _ => format!("{pad}{dash}{MASK}"),
    }
}

/// A "key" below a secret key may itself be the secret (`user:password` in a list): only words of
/// letters are shown.
fn is_secret_word(key: &str) -> bool {
    key.is_empty()
        || !key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_' || b == b'-')
        || key.len() > 24
}

/// Where the mark stands that begins a private key.
fn private_pem(line: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = line[from..].find("-----BEGIN").map(|at| from + at) {
        let label = &line[at + 10..];
        let label = &label[..label.find("-----").unwrap_or(label.len())];
        if label.contains("PRIVATE") || label.contains("SECRET") || label.trim().is_empty() {
            return Some(at);
        }
        from = at + 10;
    }
    None
}

/// Lines of preseed files, kickstarts and shells that carry a secret without a `key: value`.
fn mask_directive(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let first = *words.first()?;
    let lower = line.to_ascii_lowercase();
    // OWNER QUESTION TYPE VALUE
    if let [_, question, kind, value, ..] = words[..]
        && question.contains('/')
        && is_secret_name(question)
        && ["password", "string", "text", "multiselect", "select"].contains(&kind)
        && !is_harmless(value)
    {
        let keep = ending_after(line, 3);
        return Some(format!("{}{MASK}", &line[..keep]));
    }
    if matches!(first, "rootpw" | "sshpw" | "vncpw") {
        let shown: Vec<&str> = words
            .iter()
            .map(|word| match *word {
                "rootpw" | "sshpw" | "vncpw" | "--iscrypted" | "--plaintext" | "--lock" | "--allow-ssh"
                | "--sshkey" => *word,
                word if word.starts_with("--username=") => word,
                _ => MASK,
            })
            .collect();
        let indent = &line[..line.len() - line.trim_start().len()];
        return Some(format!("{indent}{}", shown.join(" ")));
    }
    // Commands that are given a password as an argument or by a pipe.
    let by_pipe = [
        "chpasswd ",
        "|chpasswd",
        "| chpasswd",
        "--stdin",
        "htpasswd ",
        "mkpasswd ",
        "openssl passwd",
        "sshpass ",
        "|passwd",
        "| passwd",
        "--password-stdin",
        "| sudo -s",
    ];
    let fed = || lower.contains('|') || lower.contains("<<<");
    let pipe = by_pipe.iter().any(|command| lower.contains(command))
        || lower.trim_end().ends_with(" chpasswd")
        || (lower.contains("cryptsetup") && fed());
    if pipe {
        let indent = &line[..line.len() - line.trim_start().len()];
        return Some(format!("{indent}{MASK}"));
    }
    None
}

/// `<password>…</password>`, with or without attributes, over one line or several. Goes through
/// the line once; the next `>` and `</` are looked for again only when they were passed.
fn mask_element(line: &str, state: &mut State) -> Option<String> {
    let mut out: Option<String> = None;
    let mut shown = 0;
    let mut from = 0;
    let mut closes = Next::new(">");
    let mut ends = Next::new("</");
    while let Some(open) = line[from..].find('<').map(|at| from + at + 1) {
        let name_end = line[open..]
            .find(|c: char| !(c.is_alphanumeric() || "_-:.".contains(c)))
            .map_or(line.len(), |at| open + at);
        let name = line[open..name_end].rsplit(':').next().unwrap_or_default();
        from = open;
        if !is_secret_name(name) {
            continue;
        }
        let Some(content) = closes.at(line, name_end).map(|at| at + 1) else { continue };
        if line[..content].ends_with("/>") {
            continue;
        }
        let out_so_far = out.get_or_insert_default();
        let Some(end) = ends.at(line, content) else {
            *state = State::Element;
            out_so_far.push_str(&line[shown..content]);
            out_so_far.push_str(if line[content..].trim().is_empty() { "" } else { MASK });
            return out;
        };
        let harmless = is_harmless(&line[content..end]);
        out_so_far.push_str(&line[shown..content]);
        out_so_far.push_str(if harmless { &line[content..end] } else { MASK });
        shown = end;
        from = end + 2;
    }
    if let Some(out) = &mut out {
        out.push_str(&line[shown..]);
    }
    out.filter(|out| out != line)
}

/// Where a mark stands next, for places that only go forward.
struct Next {
    mark: &'static str,
    /// Where it was found last, or nowhere.
    found: Option<usize>,
    begun: bool,
}

impl Next {
    fn new(mark: &'static str) -> Self {
        Next { mark, found: None, begun: false }
    }

    fn at(&mut self, line: &str, from: usize) -> Option<usize> {
        if !self.begun || self.found.is_some_and(|at| at < from) {
            self.begun = true;
            self.found = line[from..].find(self.mark).map(|at| from + at);
        }
        self.found
    }
}

/// The offset after the whitespace that follows the n-th word.
fn ending_after(line: &str, count: usize) -> usize {
    let mut words = 0;
    let mut in_word = false;
    for (at, c) in line.char_indices() {
        if c.is_whitespace() {
            in_word = false;
        } else if !in_word {
            in_word = true;
            words += 1;
            if words == count + 1 {
                return at;
            }
        }
    }
    line.len()
}

/// Masks the value of every `name: value` and `name=value` on the line whose name is a secret's.
fn mask_pairs(line: &str, indent: usize, state: &mut State) -> String {
    let mut out = String::new();
    let mut at = 0;
    let lead = line.len() - line.trim_start_matches([' ', '-', '"', '\'']).len();
    let last_blank = line.rfind(' ');
    while let Some((name_start, name_end, value_start, sign)) = next_pair(line, at) {
        let name = &line[name_start..name_end];
        if !is_secret_name(name) {
            out.push_str(&line[at..value_start]);
            at = value_start;
            continue;
        }
        out.push_str(&line[at..value_start]);
        let value = &line[value_start..];
        // Of `- key: value` the keys of the same element are as far right as this one.
        let column = if name_start <= lead { name_start } else { indent };
        let quoted_name = line[name_end..].starts_with(['"', '\'']);
        let end = value_end(value, sign, quoted_name, last_blank.is_some_and(|blank| blank >= value_start));
        match end {
            End::At(end) => {
                let shown = &value[..end];
                let bare = shown.trim().trim_matches(['"', '\'']);
                at = value_start + end;
                // The value stands below, or goes on there.
                let below = sign == ':' && at == line.len();
                if is_harmless(bare) || is_template(bare) {
                    out.push_str(shown);
                    if below && bare.is_empty() {
                        *state = State::Below { indent: column };
                    }
                } else {
                    out.push_str(&masked(shown));
                    if below && !quoted_name && !shown.starts_with(['"', '\'', '{', '[']) {
                        *state = State::Below { indent: column };
                    }
                }
            }
            End::Block => {
                out.push_str(value);
                *state = State::Below { indent: column };
                return out;
            }
            End::Quote(quote) => {
                out.push(quote);
                out.push_str(MASK);
                *state = State::Quoted { quote };
                return out;
            }
            End::Brackets(depth) => {
                out.push_str(&value[..1]);
                if value.len() > 1 {
                    out.push_str(MASK);
                }
                *state = State::Brackets { depth };
                return out;
            }
        }
    }
    out.push_str(&line[at..]);
    out
}

/// A value that is one tag of a template: a name, not a secret.
fn is_template(value: &str) -> bool {
    let inside = value.strip_prefix("{{").and_then(|v| v.strip_suffix("}}"));
    inside.is_some_and(|v| !v.contains(['"', '\'', '{', '}']))
}

/// The mask in place of a value, with the quotes the value had.
fn masked(value: &str) -> String {
    let trimmed = value.trim_end();
    let tail = &value[trimmed.len()..];
    match trimmed.chars().next() {
        Some(quote @ ('"' | '\'')) if trimmed.len() > 1 && trimmed.ends_with(quote) => {
            format!("{quote}{MASK}{quote}{tail}")
        }
        Some('\\') if trimmed.starts_with("\\\"") && trimmed.ends_with("\\\"") => {
            format!("\\\"{MASK}\\\"{tail}")
        }
        Some('{' | '[') => format!("\"{MASK}\"{tail}"),
        _ => format!("{MASK}{tail}"),
    }
}

/// The next name with a sign after it: begin and end of the name, begin of the value, the sign.
fn next_pair(line: &str, from: usize) -> Option<(usize, usize, usize, char)> {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b) || b >= 0x80;
    let bytes = line.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let sign = bytes[at];
        if sign != b':' && sign != b'=' {
            at += 1;
            continue;
        }
        // Backwards over blanks and a closing quote to the end of the name.
        let mut end = at;
        while end > from && matches!(bytes[end - 1], b' ' | b'\t' | b'>') {
            end -= 1;
        }
        let quoted = end > from && matches!(bytes[end - 1], b'"' | b'\'');
        if quoted {
            end -= 1;
            // The quote of JSON inside of a string.
            while end > from && bytes[end - 1] == b'\\' {
                end -= 1;
            }
        }
        let mut start = end;
        while start > from && in_name(bytes[start - 1]) {
            start -= 1;
        }
        let value = at + 1;
        let doubled = bytes.get(value) == Some(&b'/') && bytes.get(value + 1) == Some(&b'/');
        at += 1;
        if start == end
            || (sign == b':' && doubled)
            || !line.is_char_boundary(start)
            || !line.is_char_boundary(end)
        {
            continue;
        }
        // `=>`, `==`, `:=` count as one sign; blanks belong to it.
        let mut value = value;
        let sign_goes_on = |b: u8| b == b'=' || (sign == b'=' && b == b'>');
        while value < bytes.len() && (matches!(bytes[value], b' ' | b'\t') || sign_goes_on(bytes[value])) {
            value += 1;
        }
        return Some((start, end, value, char::from(sign)));
    }
    None
}

enum End {
    At(usize),
    Block,
    Quote(char),
    Brackets(usize),
}

/// Where the value ends that begins here; `spaced` if a blank follows anywhere.
fn value_end(value: &str, sign: char, quoted_name: bool, spaced: bool) -> End {
    let Some(first) = value.chars().next() else { return End::At(0) };
    // JSON inside of a string: the quotes have a backslash before them.
    if let Some(inside) = value.strip_prefix("\\\"") {
        return match inside.find("\\\"") {
            Some(at) => End::At(at + 4),
            None => End::At(value.len()),
        };
    }
    match first {
        '"' | '\'' => match closing(&value[1..], first) {
            // TOML's and Python's triple quotes open an empty pair first.
            Some(0) if value[2..].starts_with(first) => match value[3..].find(&value[..3]) {
                Some(at) => End::At(at + 6),
                None => End::Quote(first),
            },
            Some(at) => End::At(at + 2),
            None => End::Quote(first),
        },
        '|' | '>' if sign == ':' && value.len() <= 6 => End::Block,
        '{' if value.starts_with("{{") || value.starts_with("{%") => {
            // A template's tag; what follows on the line belongs to the value.
            End::At(value.len())
        }
        '{' | '[' => match matching(value) {
            Some(end) => End::At(end),
            None => End::Brackets(balance(value, 0)),
        },
        '&' | '!' if sign == ':' && !spaced => End::Block,
        _ if quoted_name => End::At(value.find([',', '}', ']']).unwrap_or(value.len())),
        _ if sign == ':' => End::At(value.len()),
        _ => End::At(value.find(|c: char| c.is_whitespace()).unwrap_or(value.len())),
    }
}

/// Where a quoted text closes; a backslash escapes, and a doubled single quote is YAML's own.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') && at > 0 {
                chars.next();
                continue;
            }
            return Some(at);
        }
    }
    None
}

/// The offset after the bracket that closes the first one.
fn matching(value: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in value.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if let Some(q) = quote {
            if c == q {
                quote = None;
            }
        } else {
            match c {
                '"' | '\'' => quote = Some(c),
                '{' | '[' => depth += 1,
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// How many brackets are open after this text, outside of quotes.
fn balance(text: &str, before: usize) -> usize {
    let mut depth = before;
    let mut quote = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quote = !quote,
            '{' | '[' if !quote => depth += 1,
            '}' | ']' if !quote => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth
}
