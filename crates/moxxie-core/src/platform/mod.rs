//! The operating systems a profile can be for. One file each, one line in [`PLATFORMS`].

mod args;
mod custom;
mod debian;
mod lint;
mod talos;

pub use args::{ArgsContext, arg_warnings, kernel_args};
pub use lint::{Reason, destructive_reasons, foreign_shell, rendered_args_reasons, rendered_config_reasons};

use crate::ipxe::Word;
use crate::name::ProfileName;
use crate::params::Params;
use crate::profile::{LocalBoot, ProfileSpec, Source};
use crate::render::ArgsError;

/// Every platform, in the order people see them.
pub static PLATFORMS: &[&dyn Platform] = &[&talos::Talos, &debian::Debian, &custom::Custom];

/// The platform of this name.
pub fn find(name: &str) -> Option<&'static dyn Platform> {
    PLATFORMS.iter().copied().find(|platform| platform.name() == name)
}

/// Whether a machine goes first when not all can boot at once: what its merged parameters say in
/// `boot_first` (true or false), else what its platform makes of the profile.
pub fn boots_first(spec: &ProfileSpec, params: &Params) -> bool {
    match params.get("boot_first") {
        Some(serde_json::Value::Bool(first)) => *first,
        _ => find(&spec.profile_type).is_some_and(|platform| platform.first(spec)),
    }
}

/// What an operating system needs from a profile, and what it adds to one.
pub trait Platform: Sync {
    /// The spelling in `profile_type`.
    fn name(&self) -> &'static str;

    /// The name that people know.
    fn title(&self) -> &'static str;

    /// One sentence for the list of platforms.
    fn summary(&self) -> &'static str;

    /// The files a machine fetches below its config URL.
    fn config_files(&self) -> &'static [ConfigFile];

    /// The arguments that go before the operator's own, as `key` or `key=value`. Each is left out
    /// when the operator wrote that key, see [`kernel_args`].
    fn default_args(&self, context: &ArgsContext<'_>) -> Result<Vec<String>, ArgsError>;

    /// What the profile lacks, or has too much of.
    fn check(&self, spec: &ProfileSpec) -> Vec<FieldProblem>;

    /// What is odd about the finished arguments although they can be booted.
    fn warnings(&self, _args: &[Word]) -> Vec<String> {
        Vec::new()
    }

    /// One name for every spelling of an argument's key.
    fn canonical_key<'k>(&self, key: &'k str) -> &'k str {
        key
    }

    /// Whether an installed machine takes no harm from being given the same boot again.
    fn re_serve_safe(&self) -> bool {
        false
    }

    /// Whether machines of this profile boot before others when not all can boot at once, because
    /// the others wait for them anyway. The parameter `boot_first` overrides it, see
    /// [`boots_first`].
    fn first(&self, _spec: &ProfileSpec) -> bool {
        false
    }

    /// A complete profile: a starting point for people, a golden file for tests.
    fn sample(&self) -> ProfileSpec;
}

/// One file below a machine's config URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFile {
    /// The path below the config URL; empty for the URL itself.
    pub path: &'static str,
    /// The `Content-Type` that the installer expects.
    pub content_type: &'static str,
    /// What it holds.
    pub body: ConfigBody,
}

/// Where the bytes of a [`ConfigFile`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigBody {
    /// The profile's `config_template`.
    Template,
    /// A template of the platform itself, with the same values.
    BuiltIn(&'static str),
}

/// Whether a problem stops a profile from being saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It could not boot.
    Error,
    /// It may not do what was meant.
    Warning,
}

/// Something about one field of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// JSON pointer to the field.
    pub pointer: &'static str,
    /// What is the matter, and what to do.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl FieldProblem {
    fn error(pointer: &'static str, message: impl Into<String>) -> FieldProblem {
        FieldProblem { pointer, message: message.into(), severity: Severity::Error }
    }

    fn warning(pointer: &'static str, message: impl Into<String>) -> FieldProblem {
        FieldProblem { pointer, message: message.into(), severity: Severity::Warning }
    }
}

/// The problems of a platform that cannot do without these files.
fn require(spec: &ProfileSpec, title: &str, kernel: bool, initrd: bool) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if kernel && spec.kernel_path.is_none() {
        problems.push(FieldProblem::error("/kernel_path", format!("{title} needs a kernel")));
    }
    if initrd && spec.initrd_path.is_none() {
        problems.push(FieldProblem::error("/initrd_path", format!("{title} needs an initrd")));
    }
    problems
}

/// The skeleton of a sample. Its names are constants of this crate.
#[allow(clippy::expect_used)]
fn sample(name: &str, platform: &'static str, kernel: &str, initrd: Option<&str>) -> ProfileSpec {
    let asset = |file: &str| file.parse::<Source>().ok();
    ProfileSpec {
        // A test walks over all samples, so a wrong name cannot leave this crate.
        name: name.parse::<ProfileName>().expect("a constant name"),
        profile_type: platform.to_owned(),
        description: String::new(),
        kernel_path: asset(kernel),
        initrd_path: initrd.and_then(asset),
        extra_initrds: Vec::new(),
        boot_params: String::new(),
        config_template: None,
        params: Params::new(),
        destructive: false,
        destructive_lowered: false,
        menu: false,
        local_boot: LocalBoot::Auto,
        provisioning: None,
        approval: Default::default(),
        contention: Default::default(),
    }
}
