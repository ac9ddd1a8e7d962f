//! Operators' templates, rendered in a sandbox.
//!
//! A template sees the values of [`RenderContext`] and nothing else: no other template, no file,
//! no environment, no clock. Work and size are bounded, an undefined name is an error, and no
//! error quotes a value, because values may be secrets.

mod args;
mod context;
mod error;
mod filters;
mod lenient;
mod restrict;
mod scan;

pub(crate) use args::word as default_word;
pub use args::{ArgsError, MAX_COMMAND_LINE, WARN_COMMAND_LINE, arg_key, check_total, split_args};
pub use context::{MachineValues, ProfileValues, RenderContext, ServiceValues};
pub use error::TemplateError;

use context::ROOTS;
use lenient::LenientParams;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use std::collections::BTreeSet;
use std::io;
use std::sync::OnceLock;

/// `field` of [`render`] for the kernel arguments.
pub const BOOT_PARAMS: &str = "boot_params";
/// `field` of [`render`] for the config.
pub const CONFIG_TEMPLATE: &str = "config_template";

/// The longest source, in bytes.
pub const MAX_SOURCE: usize = 256 * 1024;
/// The longest result, in bytes.
pub const MAX_OUTPUT: usize = 1024 * 1024;
/// Work that one rendering may do: about one per instruction and per 64 bytes.
const FUEL: u64 = 200_000;
/// Nesting of loops and conditions.
const RECURSION: usize = 100;

fn engine() -> &'static Environment<'static> {
    static ENGINE: OnceLock<Environment<'static>> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut env = Environment::new();
        // `debug` prints the whole context, secrets included. `namespace` and `dict` let containers
        // grow (see `restrict`).
        env.remove_global("debug");
        env.remove_global("namespace");
        env.remove_global("dict");
        env.set_debug(false);
        // A config ends the way it was written: some readers want the newline of the last line.
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            env.set_syntax(syntax);
        }
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(RECURSION);
        env.set_formatter(format_value);
        filters::add(&mut env);
        env
    })
}

/// Prints values the way configs spell them: `true` and `null` instead of the engine's `True` and
/// `None`, lists and objects as JSON, which is YAML as well.
///
/// In kernel arguments a value stays inside the argument it is written into: a machine's serial
/// number, or a parameter that an operator may set, must not bring an `init=` of its own.
fn format_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    use minijinja::value::ValueKind;
    if state.name() == BOOT_PARAMS && value.to_string().contains(char::is_whitespace) {
        return Err(error::refuse(
            "a value with a blank in it would become several kernel arguments: write one value for each",
        ));
    }
    let written = match value.kind() {
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::None => out.write_str("null"),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable if !lenient::is_placeholder(value) => {
            out.write_str(&filters::json(value)?.to_string())
        }
        _ => match value.as_str() {
            Some(text) => out.write_str(text),
            None => write!(out, "{value}"),
        },
    };
    written.map_err(Error::from)
}

/// Renders a template for one machine.
pub fn render(source: &str, context: &RenderContext, what: &'static str) -> Result<String, TemplateError> {
    let params = Value::from(Serde(&context.params));
    run(source, context, params, what)
        .map(|(text, _)| text)
        .map_err(|failure| failure.translate(what, source, context))
}

/// Checks a template when a profile is saved.
///
/// Each of `samples` is an assigned machine and is rendered strictly. `lenient_sample` stands for
/// machines to come: what its `params` lack is no error there, because it arrives with the
/// assignment; everything else is.
pub fn check(
    source: &str,
    what: &'static str,
    samples: &[RenderContext],
    lenient_sample: &RenderContext,
) -> Result<(), TemplateError> {
    check_names(source, what, lenient_sample)?;
    for truthy in [true, false] {
        let params = LenientParams::value(&lenient_sample.params, truthy);
        match run(source, lenient_sample, params, what) {
            Ok(_) => {}
            Err(failure) if failure.may_be_placeholder(source) => {}
            Err(failure) => return Err(failure.translate(what, source, lenient_sample)),
        }
    }
    for sample in samples {
        render(source, sample, what).map_err(|error| TemplateError {
            node: Some(sample.machine.node_name.clone()).filter(|name| !name.is_empty()),
            ..error
        })?;
    }
    Ok(())
}

/// Names that can never be defined, also in branches that no sample enters.
fn check_names(source: &str, what: &'static str, sample: &RenderContext) -> Result<(), TemplateError> {
    let mut wrong = BTreeSet::new();
    // A name that one branch of a condition sets may be used after it; the engine's static
    // analysis takes it for undeclared.
    let assigned: Vec<&str> = scan::tags(source)
        .into_iter()
        .flat_map(|(start, end, _)| {
            let targets = scan::targets(source, start, end);
            scan::paths(source, start, end).into_iter().filter(move |path| targets.contains(&path.offset))
        })
        .map(|path| path.parts[0])
        .collect();
    for name in undeclared(source, what)? {
        let parts: Vec<&str> = name.split('.').collect();
        let known = match parts[0] {
            "params" => true,
            "loop" | "range" => true,
            name if assigned.contains(&name) => true,
            _ => sample.has(&parts[..parts.len().min(2)]) == Some(true),
        };
        if !known {
            wrong.insert(parts[..parts.len().min(2)].join("."));
        }
    }
    // Tell the first one in the order of the source.
    let first = scan::template_paths(source).into_iter().find(|path| {
        !path.operator && {
            let two = path.parts[..path.parts.len().min(2)].join(".");
            wrong.contains(&two) || wrong.contains(path.parts[0])
        }
    });
    match (first, wrong.first()) {
        (Some(path), _) => {
            let known_root = ROOTS.contains(&path.parts[0]);
            let name = if known_root { path.parts.join(".") } else { path.parts[0].to_owned() };
            Err(TemplateError::at(what, source, path.offset, format!("{name} is not defined")))
        }
        (None, Some(name)) => Err(TemplateError::plain(what, format!("{name} is not defined"))),
        (None, None) => Ok(()),
    }
}

/// The names below `params` that a template uses, such as `install_disk` or `net.dns`, in order
/// of the alphabet.
pub fn used_params(source: &str) -> Result<Vec<String>, TemplateError> {
    let mut used: Vec<String> = undeclared(source, CONFIG_TEMPLATE)?
        .iter()
        .filter_map(|name| name.strip_prefix("params."))
        .map(str::to_owned)
        .collect();
    used.sort();
    Ok(used)
}

fn undeclared(source: &str, what: &'static str) -> Result<BTreeSet<String>, TemplateError> {
    check_source(source, what)?;
    let template = engine()
        .template_from_named_str(what, source)
        .map_err(|error| TemplateError::from_engine(what, source, None, &error))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

fn check_source(source: &str, what: &'static str) -> Result<(), TemplateError> {
    if source.len() > MAX_SOURCE {
        return Err(TemplateError::plain(what, format!("a template has at most {} KiB", MAX_SOURCE / 1024)));
    }
    restrict::check(source, what)
}

/// Why a rendering stopped.
enum Failure {
    Ours(TemplateError),
    Engine(Error),
}

impl Failure {
    fn translate(&self, what: &'static str, source: &str, context: &RenderContext) -> TemplateError {
        match self {
            Failure::Ours(error) => error.clone(),
            Failure::Engine(error) => TemplateError::from_engine(what, source, Some(context), error),
        }
    }

    /// Whether a placeholder can be to blame: an operation that does not fit its values, in a
    /// tag that depends on parameters or on local names. Adding 1 to a number that is not
    /// there yet is no mistake of the template.
    fn may_be_placeholder(&self, source: &str) -> bool {
        let Failure::Engine(error) = self else { return false };
        let about_values = matches!(
            error.kind(),
            ErrorKind::InvalidOperation
                | ErrorKind::CannotUnpack
                | ErrorKind::NonPrimitive
                | ErrorKind::NonKey
                | ErrorKind::UnknownMethod
                | ErrorKind::BadSerialization
                | ErrorKind::CannotDeserialize
        );
        let Some(range) = error.range() else { return about_values };
        about_values
            && scan::tags(source)
                .into_iter()
                .filter(|(start, end, _)| (*start..=*end).contains(&range.start))
                .flat_map(|(start, end, _)| {
                    let targets = scan::targets(source, start, end);
                    scan::paths(source, start, end)
                        .into_iter()
                        .filter(move |path| !targets.contains(&path.offset))
                })
                .any(|path| {
                    let root = path.parts[0];
                    !path.operator && (root == "params" || !(ROOTS.contains(&root) || root == "range"))
                })
    }
}

/// Renders and says how much fuel it took.
fn run(
    source: &str,
    context: &RenderContext,
    params: Value,
    what: &'static str,
) -> Result<(String, u64), Failure> {
    check_source(source, what).map_err(Failure::Ours)?;
    let values = Value::from_pairs([
        ("machine", Value::from(Serde(&context.machine))),
        ("params", params),
        ("profile", Value::from(Serde(&context.profile))),
        ("moxxie", Value::from(Serde(&context.moxxie))),
    ]);
    let template = engine().template_from_named_str(what, source).map_err(Failure::Engine)?;
    let mut out = Limited(Vec::with_capacity(source.len()));
    let captured = template.render_captured_to(values, &mut out).map_err(Failure::Engine)?;
    let fuel = captured.state().fuel_levels().map_or(0, |(used, _)| used);
    let text = String::from_utf8(out.0)
        .map_err(|_| Failure::Ours(TemplateError::plain(what, "the rendered text is not UTF-8")))?;
    Ok((text, fuel))
}

/// A writer that refuses the byte after the last allowed one: fuel bounds work, this bounds size.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
