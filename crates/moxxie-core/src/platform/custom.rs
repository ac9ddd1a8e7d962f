//! Anything else: what the operator wrote, and nothing added.

use super::{ArgsContext, ConfigBody, ConfigFile, FieldProblem, Platform, require, sample};
use crate::profile::ProfileSpec;
use crate::render::ArgsError;

pub(super) struct Custom;

impl Platform for Custom {
    fn name(&self) -> &'static str {
        "custom"
    }

    fn title(&self) -> &'static str {
        "Custom"
    }

    fn summary(&self) -> &'static str {
        "Any kernel with any arguments; counts as destructive until an admin says otherwise."
    }

    fn config_files(&self) -> &'static [ConfigFile] {
        &[ConfigFile { path: "", content_type: "text/plain", body: ConfigBody::Template }]
    }

    fn default_args(&self, _: &ArgsContext<'_>) -> Result<Vec<String>, ArgsError> {
        Ok(Vec::new())
    }

    fn check(&self, spec: &ProfileSpec) -> Vec<FieldProblem> {
        require(spec, "a custom profile", true, false)
    }

    fn sample(&self) -> ProfileSpec {
        let mut spec = sample("memtest", self.name(), "memtest86+x64.efi", None);
        spec.description = "A memory test".to_owned();
        spec.boot_params = "console={{ params.console | default('ttyS0') }}".to_owned();
        spec.destructive = true;
        spec
    }
}
