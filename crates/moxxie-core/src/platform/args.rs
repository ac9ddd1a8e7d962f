//! The kernel arguments of a boot: the platform's defaults, then the operator's own.

use super::Platform;
use crate::ipxe::Word;
use crate::profile::ProfileSpec;
use crate::render::{ArgsError, RenderContext, WARN_COMMAND_LINE, arg_key, check_total};
use serde_json::Value;

/// What a platform knows when it chooses its default arguments.
#[derive(Debug, Clone, Copy)]
pub struct ArgsContext<'a> {
    /// The profile.
    pub spec: &'a ProfileSpec,
    /// The values of the machine, merged parameters included.
    pub values: &'a RenderContext,
    /// The operator's own arguments.
    pub user: &'a [Word],
}

impl ArgsContext<'_> {
    /// Whether the operator wrote this argument, in any spelling the platform knows.
    pub fn user_has(&self, platform: &dyn Platform, key: &str) -> bool {
        let key = normal(platform, key);
        self.user.iter().any(|word| normal(platform, arg_key(word.as_str())) == key)
    }
}

/// The kernel takes `-` and `_` in the names of its parameters for the same.
fn normal(platform: &dyn Platform, key: &str) -> String {
    platform.canonical_key(key).replace('-', "_")
}

/// All arguments of a boot.
///
/// The platform's defaults come first. Each is left out when the operator's `boot_params` have its
/// key, with or without a value; one `console=` of the operator so replaces all default consoles.
/// The operator's arguments follow in their order. `params.platform_defaults: false` switches the
/// defaults off.
pub fn kernel_args(
    platform: &dyn Platform,
    spec: &ProfileSpec,
    rendered_boot_params: Vec<Word>,
    values: &RenderContext,
) -> Result<Vec<Word>, ArgsError> {
    let context = ArgsContext { spec, values, user: &rendered_boot_params };
    let mut words = Vec::new();
    if values.params.get("platform_defaults") != Some(&Value::Bool(false)) {
        for (index, arg) in platform.default_args(&context)?.into_iter().enumerate() {
            if !context.user_has(platform, arg_key(&arg)) {
                words.push(crate::render::default_word(index + 1, &arg)?);
            }
        }
    }
    words.extend(rendered_boot_params);
    check_total(&words)?;
    Ok(words)
}

/// What an operator should know about arguments that can be booted all the same.
pub fn arg_warnings(platform: &dyn Platform, args: &[Word]) -> Vec<String> {
    let mut warnings = platform.warnings(args);
    let length = args.iter().map(|word| word.as_str().len() + 1).sum::<usize>().saturating_sub(1);
    if length > WARN_COMMAND_LINE {
        warnings.push(format!(
            "the kernel arguments have {length} bytes; many kernels cut them after {WARN_COMMAND_LINE}"
        ));
    }
    warnings
}
