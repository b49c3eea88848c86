//! `troupe crds`: the custom resource definitions as YAML.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::out::say;

/// Prints one document for each kind.
pub(crate) fn main() -> Result<ExitCode> {
    for crd in crds::all() {
        let yaml = serde_yaml::to_string(&crd).context("write a CRD as YAML")?;
        say!("---\n{}", yaml.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
