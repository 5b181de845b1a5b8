// SPDX-License-Identifier: Apache-2.0
//! What is said back about resources that are bad: bounded, whatever is wrong with however many of them.

use std::sync::Arc;

use crate::observe::cut;

/// Most bytes about one resource.
const ONE: usize = 1024;
/// Most bytes about all of them.
const ALL: usize = 8 * 1024;

/// An error of one resource, as it is told and kept.
pub(super) fn error(text: &str) -> Arc<str> {
    cut(text, ONE).into()
}

/// The text of a NACK.
pub(super) fn text(errors: &[String]) -> String {
    let mut text = String::new();
    for (at, error) in errors.iter().enumerate() {
        let error = cut(error, ONE);
        if text.len() + error.len() > ALL {
            return format!("{text}; and {} more", errors.len() - at);
        }
        if at > 0 {
            text += "; ";
        }
        text += &error;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nack_is_bounded_per_resource_and_in_sum_and_says_how_much_it_leaves_out() {
        assert_eq!(text(&["a: bad".into(), "b: bad".into()]), "a: bad; b: bad");
        assert_eq!(error(&"x".repeat(5_000_000)).len(), ONE + "… (5000000 bytes in all)".len());
        let many: Vec<String> = (0..2_000).map(|n| format!("{n}: {}", "x".repeat(n))).collect();
        let said = text(&many);
        assert!(said.len() < ALL + 100 && said.starts_with("0: ; 1: x; 2: xx"), "{} bytes", said.len());
        let told = said.matches("; ").count();
        assert!(said.ends_with(&format!("; and {} more", many.len() - told)), "{told}");
    }
}
