// SPDX-License-Identifier: Apache-2.0
//! `--set KEY=VALUE`: what a shell offers to complete, and its form. What a value may be is the core's business.

use std::ffi::OsStr;

use clap::{
    Arg, Command,
    builder::{PossibleValue, TypedValueParser},
    error::ErrorKind,
};
use proxyless_core::config::SETTINGS;

/// Takes every text of the form `key=value`, and names the keys that there are.
#[derive(Clone, Debug)]
pub(crate) struct SettingParser;

impl TypedValueParser for SettingParser {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        match value.to_str() {
            Some(text) if text.contains('=') => Ok(text.to_owned()),
            _ => {
                let text = format!("--set {}: key=value is expected\n", value.display());
                Err(clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command))
            }
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(SETTINGS.iter().map(|setting| PossibleValue::new(format!("{}=", setting.key)).help(setting.help))))
    }
}
