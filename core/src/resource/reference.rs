// SPDX-License-Identifier: Apache-2.0
//! Names that resources give for other resources.

use std::{collections::BTreeSet, sync::Arc};

use crate::protocol::{Kind, Xdstp};

/// Knows which authorities there are, so that a resource that refers to another one is rejected as a whole.
#[derive(Clone, Debug, Default)]
pub struct References(Arc<BTreeSet<String>>);

impl References {
    /// With these authorities; old-style names need none.
    pub fn new(authorities: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(authorities.into_iter().collect()))
    }

    pub(super) fn check(&self, kind: Kind, name: &str) -> Result<(), String> {
        let Some(parsed) = Xdstp::parse(name) else { return Ok(()) };
        let parsed = parsed?;
        parsed.check(kind).map_err(|what| format!("refers to {name:?}: {what}"))?;
        if self.0.contains(parsed.authority) {
            Ok(())
        } else {
            Err(format!("refers to {name:?}: the bootstrap has no authority {:?}", parsed.authority))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_049_a_reference_must_be_well_formed_of_its_kind_and_of_a_known_authority() {
        let references = References::new(["known".to_owned()]);
        let check = |name: &str| references.check(Kind::Endpoints, name);
        assert!(check("outbound|80||a").is_ok());
        assert!(check("xdstp://known/envoy.config.endpoint.v3.ClusterLoadAssignment/a").is_ok());
        for bad in [
            "xdstp://unknown/envoy.config.endpoint.v3.ClusterLoadAssignment/a",
            "xdstp://known/envoy.config.cluster.v3.Cluster/a",
            "xdstp:known",
        ] {
            assert!(check(bad).expect_err(bad).contains(bad), "{bad}");
        }
    }
}
