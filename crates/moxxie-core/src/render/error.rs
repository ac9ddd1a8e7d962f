//! Errors of templates, in words that never quote a value.

use super::context::{ROOTS, RenderContext};
use super::scan::{self, Path};
use minijinja::{Error, ErrorKind};
use std::fmt;

/// Why a template was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// `boot_params` or `config_template`.
    pub field: &'static str,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// What is wrong. Holds names out of the template, never values of parameters.
    pub message: String,
    /// The node whose values it was rendered with, when it was a certain one.
    pub node: Option<String>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            _ => {}
        }
        f.write_str(&self.message)?;
        match &self.node {
            Some(node) => write!(f, " (for {node})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}

/// A reason that is safe to repeat: text of this crate.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
struct Reason(&'static str);

/// An error with a reason that reaches the operator.
pub(super) fn refuse(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason).with_source(Reason(reason))
}

impl TemplateError {
    pub(super) fn plain(field: &'static str, message: impl Into<String>) -> TemplateError {
        TemplateError { field, line: None, column: None, message: message.into(), node: None }
    }

    pub(super) fn at(
        field: &'static str,
        source: &str,
        offset: usize,
        message: impl Into<String>,
    ) -> TemplateError {
        let (line, column) = scan::position(source, offset);
        TemplateError { line: Some(line), column: Some(column), ..TemplateError::plain(field, message) }
    }

    /// Translates an error of the engine.
    pub(super) fn from_engine(
        field: &'static str,
        source: &str,
        context: Option<&RenderContext>,
        error: &Error,
    ) -> TemplateError {
        let range = error.range().filter(|range| range.end > 0);
        let (mut offset, end) = match &range {
            Some(range) => (range.start, range.end),
            None => (0, 0),
        };
        // The engine's range may begin at the last part of a name; whole names are wanted.
        let names: Vec<Path<'_>> = scan::template_paths(source)
            .into_iter()
            .filter(|path| path.offset < end && path.end > offset)
            .collect();
        let message = match error.kind() {
            ErrorKind::UndefinedError => match undefined(&names, context) {
                Some((name, at)) => {
                    offset = at;
                    format!("{name} is not defined")
                }
                None => "a value used here is not defined".to_owned(),
            },
            // Written by the parser, before any value is known.
            ErrorKind::SyntaxError | ErrorKind::BadEscape => {
                format!("syntax error: {}", error.detail().unwrap_or("not readable"))
            }
            ErrorKind::UnknownFilter => named(error, source, "there is no filter", "filter"),
            ErrorKind::UnknownTest => named(error, source, "there is no test", "test"),
            ErrorKind::UnknownFunction => named(error, source, "there is no function", "function"),
            ErrorKind::UnknownMethod => "values have no such method".to_owned(),
            ErrorKind::OutOfFuel => {
                "the template does too much work (a loop or a text that is far too long)".to_owned()
            }
            ErrorKind::WriteFailure => {
                format!("the rendered text is larger than {} KiB", super::MAX_OUTPUT / 1024)
            }
            ErrorKind::TooManyArguments => "too many arguments".to_owned(),
            ErrorKind::MissingArgument => "an argument is missing".to_owned(),
            ErrorKind::CannotUnpack => "cannot unpack a value into this many names".to_owned(),
            ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
                "a template cannot include another".to_owned()
            }
            _ => operation(error),
        };
        match (range, error.line()) {
            (Some(_), _) => TemplateError::at(field, source, offset, message),
            (None, line) => TemplateError {
                line: line.and_then(|line| u32::try_from(line).ok()),
                ..TemplateError::plain(field, message)
            },
        }
    }
}

/// Which of the names of a failed expression does not exist, and where it stands.
fn undefined(names: &[Path<'_>], context: Option<&RenderContext>) -> Option<(String, usize)> {
    let values = || names.iter().filter(|path| !path.operator);
    if let Some(context) = context {
        for path in values() {
            // The shortest beginning that leads nowhere: of params.a.b, where a is missing, params.a.
            let missing = (1..=path.parts.len()).find(|n| context.has(&path.parts[..*n]) == Some(false));
            if let Some(n) = missing {
                return Some((path.parts[..n].join("."), path.offset));
            }
        }
    }
    let local = values().find(|path| !ROOTS.contains(&path.parts[0]))?;
    Some((local.parts.join("."), local.offset))
}

/// A message with the name that the engine did not know, when it is a name of the source: filters
/// can also be named by a value.
fn named(error: &Error, source: &str, message: &str, noun: &str) -> String {
    let name = error
        .detail()
        .and_then(|detail| detail.strip_suffix(" is unknown"))
        .map(|detail| detail.strip_prefix(noun).unwrap_or(detail).trim())
        .filter(|name| {
            !name.is_empty() && scan::template_paths(source).iter().any(|path| path.parts.contains(name))
        });
    match name {
        Some(name) => format!("{message} {name}"),
        None => format!("{message} of this name"),
    }
}

/// The engine's words for a failed operation, when every one of them is known to be harmless.
fn operation(error: &Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(reason) = inner.downcast_ref::<Reason>() {
            return reason.to_string();
        }
        source = inner.source();
    }
    let detail = error.detail().unwrap_or_default();
    let known = |word: &str| {
        let word = word.trim_matches([',', '.', ':', '(', ')', '`']);
        WORDS.split(' ').any(|known| known == word)
    };
    if !detail.is_empty() && detail.split(' ').all(known) {
        detail.to_owned()
    } else {
        "this operation does not fit its values".to_owned()
    }
}

/// The vocabulary of the engine's own messages: kinds of values, operators, and the words between.
const WORDS: &str = "tried to use operator on unsupported types and or is not are a an the of value \
values type cannot convert into from iterate iterable callable calculate length with by in be as \
range has too many elements create step 0 recursion limit exceeded strings can only multiplied \
integers integer sequences iterables repeated string sequence large repeat unsized perform \
containment check this object undefined none bool number bytes map plain invalid float slice sliced \
size join reverse sort get absolute overflow abs sum numbers assign namespaces expected got wrong \
serialize JSON pair pairs list recurse because non-iterable outside recursive loop unable pass + - * \
/ // % ** ~ == != < <= > >=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_compiler() {
        let error = TemplateError::at("config_template", "a\nb\n  {{ x }}", 8, "x is not defined");
        assert_eq!(error.to_string(), "config_template: line 3, column 5: x is not defined");
        let error = TemplateError { node: Some("cp-1".into()), ..TemplateError::plain("boot_params", "no") };
        assert_eq!(error.to_string(), "boot_params: no (for cp-1)");
    }
}
