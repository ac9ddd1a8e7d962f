//! What a template may not do although the engine could.
//!
//! The engine pays for work with fuel, but it pays for a list or object only after it has been
//! written or compared in full, and containers are shared, not copied. `{% set a = [a, a] %}`
//! forty times over takes no fuel worth mentioning; one `{{ a ~ "" }}` then runs for years. So
//! containers must not be able to grow: they come from the parameters, from constants, and from
//! the few functions that give a flat list. Text and numbers stay free, fuel bounds those.
//!
//! The engine also recurses over its syntax tree, and a stack that overflows ends the process:
//! `{{ not not not …` does. So expressions and blocks have a bounded depth.

use super::context::ROOTS;
use super::error::TemplateError;
use super::scan;

/// Names that one template may put into list and object literals.
const MAX_NAMES: usize = 64;

/// Operators, attributes and filters in one tag; each can be one more level of the syntax tree.
const MAX_OPERATORS: usize = 200;

/// Blocks inside blocks. An `elif` counts as a block inside its `if`, as it does for the engine.
const MAX_BLOCKS: usize = 50;

/// Filters whose result is a number whatever goes in.
const NUMERIC: [&str; 6] = ["int", "float", "length", "count", "round", "abs"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'s> {
    Name(&'s str),
    Number,
    Text,
    /// An operator or bracket, by its first byte; `**` is `^`, `==` and its like are `?`.
    Sign(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// Arguments of a call or a subscript.
    Inner,
    /// Parentheses around an expression: a tuple once a comma stands in it.
    Group { comma: bool, local: bool },
    /// A list or object literal.
    Literal,
}

/// Refuses templates in which containers could grow.
pub(super) fn check(source: &str, what: &'static str) -> Result<(), TemplateError> {
    let mut names = 0;
    let mut blocks = Vec::new();
    for (start, end, statement) in scan::tags(source) {
        let tokens = tokens(source, start, end);
        check_depth(&tokens, start, statement, &mut blocks)
            .and_then(|()| check_tag(&tokens, start, statement, &mut names))
            .map_err(|(offset, message)| TemplateError::at(what, source, offset, message))?;
    }
    Ok(())
}

type Refusal = (usize, &'static str);

fn check_depth<'s>(
    tokens: &[(Token<'s>, usize)],
    start: usize,
    statement: bool,
    blocks: &mut Vec<&'s str>,
) -> Result<(), Refusal> {
    let deepening = |token: &Token<'_>| match token {
        Token::Name(name) => is_keyword(name),
        Token::Sign(sign) => !b",:)]}".contains(sign),
        Token::Number | Token::Text => false,
    };
    if tokens.iter().filter(|(token, _)| deepening(token)).count() > MAX_OPERATORS {
        return Err((start, "this expression is too long: use {% set %} to take it apart"));
    }
    let Some((Token::Name(word), _)) = tokens.first().filter(|_| statement) else { return Ok(()) };
    match *word {
        "endif" => while blocks.pop().is_some_and(|block| block == "elif") {},
        end if end.starts_with("end") => {
            blocks.pop();
        }
        "else" => {}
        "set" if tokens.iter().any(|(token, _)| *token == Token::Sign(b'=')) => {}
        block => blocks.push(block),
    }
    if blocks.len() > MAX_BLOCKS {
        return Err((start, "blocks are nested too deeply here"));
    }
    Ok(())
}

const LITERAL: &str = "a list or object written in a template may hold constants and up to 64 values \
such as params.x, but no names that are local to the template";
const TIMES: &str = "'*' needs a number on both sides: write x | int * 2, or 2 * 3";
const PLUS: &str = "'+' needs a number or a quoted text beside it: write x | int + 1, or join texts with '~'";

fn check_tag(
    tokens: &[(Token<'_>, usize)],
    start: usize,
    statement: bool,
    names: &mut usize,
) -> Result<(), Refusal> {
    let at = |i: usize| tokens.get(i).map(|(token, _)| *token);
    let before = |i: usize| i.checked_sub(1).and_then(at);
    let mut open: Vec<Bracket> = Vec::new();
    // `{% set a = b, c %}` makes a tuple without parentheses.
    let set = statement && at(0) == Some(Token::Name("set"));
    let (mut assigned, mut bare_comma, mut bare_local) = (false, false, false);

    for (i, &(token, offset)) in tokens.iter().enumerate() {
        match token {
            Token::Sign(b'=') if open.is_empty() => assigned = true,
            Token::Sign(b',') => match open.last_mut() {
                Some(Bracket::Group { comma, .. }) => *comma = true,
                None if set && assigned => bare_comma = true,
                _ => {}
            },
            Token::Sign(b'{') => open.push(Bracket::Literal),
            Token::Sign(b'[') => open.push(match before(i) {
                Some(Token::Name(name)) if !is_keyword(name) => Bracket::Inner,
                Some(Token::Text | Token::Sign(b')' | b']' | b'}')) => Bracket::Inner,
                _ => Bracket::Literal,
            }),
            Token::Sign(b'(') => open.push(match before(i) {
                Some(Token::Name(name)) if !is_keyword(name) => Bracket::Inner,
                Some(Token::Sign(b')' | b']')) => Bracket::Inner,
                _ => Bracket::Group { comma: false, local: false },
            }),
            Token::Sign(b')' | b']' | b'}') => {
                if let Some(Bracket::Group { comma, local }) = open.pop() {
                    if comma && local {
                        return Err((offset, LITERAL));
                    }
                    if let Some(Bracket::Group { local: outer, .. }) = open.last_mut() {
                        *outer |= local;
                    }
                }
            }
            Token::Sign(b'*') => {
                let left = match before(i) {
                    Some(Token::Number) => true,
                    Some(Token::Name(name)) => {
                        NUMERIC.contains(&name) && i >= 2 && at(i - 2) == Some(Token::Sign(b'|'))
                    }
                    _ => false,
                };
                if !left || at(i + 1) != Some(Token::Number) {
                    return Err((offset, TIMES));
                }
            }
            Token::Sign(b'+') => {
                let left = match before(i) {
                    Some(Token::Number | Token::Text) => true,
                    Some(Token::Name(name)) => {
                        NUMERIC.contains(&name) && i >= 2 && at(i - 2) == Some(Token::Sign(b'|'))
                    }
                    _ => false,
                };
                if !left && !matches!(at(i + 1), Some(Token::Number | Token::Text)) {
                    return Err((offset, PLUS));
                }
            }
            Token::Name(name) => {
                let part = matches!(before(i), Some(Token::Sign(b'.' | b'|')))
                    || before(i) == Some(Token::Name("is"));
                if part || is_keyword(name) {
                    continue;
                }
                let local = !ROOTS.contains(&name);
                if open.contains(&Bracket::Literal) {
                    *names += 1;
                    if local || *names > MAX_NAMES {
                        return Err((offset, LITERAL));
                    }
                }
                bare_local |= assigned && local;
                for bracket in &mut open {
                    if let Bracket::Group { local: inside, .. } = bracket {
                        *inside |= local;
                    }
                }
            }
            _ => {}
        }
    }
    if bare_comma && bare_local {
        return Err((start, LITERAL));
    }
    Ok(())
}

fn is_keyword(name: &str) -> bool {
    scan::KEYWORDS.contains(&name)
}

fn tokens(source: &str, start: usize, end: usize) -> Vec<(Token<'_>, usize)> {
    let bytes = source.as_bytes();
    let end = end.min(bytes.len());
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        let byte = bytes[at];
        let from = at;
        let token = if scan::is_ident_start(byte) {
            while at < end && scan::is_ident(bytes[at]) {
                at += 1;
            }
            Token::Name(source.get(from..at).unwrap_or_default())
        } else if byte.is_ascii_digit() {
            while at < end && (scan::is_ident(bytes[at]) || is_fraction(bytes, at, end)) {
                at += 1;
            }
            Token::Number
        } else if byte == b'"' || byte == b'\'' {
            at = scan::skip_string(bytes, at, end);
            Token::Text
        } else {
            at += 1;
            if byte.is_ascii_whitespace() {
                continue;
            }
            let double = bytes.get(at) == Some(&byte) && at < end;
            if matches!(byte, b'*' | b'/') && double {
                at += 1;
                Token::Sign(b'^')
            } else if matches!(byte, b'=' | b'!' | b'<' | b'>') && bytes.get(at) == Some(&b'=') {
                at += 1;
                Token::Sign(b'?')
            } else {
                Token::Sign(byte)
            }
        };
        found.push((token, from));
    }
    found
}

fn is_fraction(bytes: &[u8], at: usize, end: usize) -> bool {
    bytes[at] == b'.' && at + 1 < end && bytes[at + 1].is_ascii_digit()
}
