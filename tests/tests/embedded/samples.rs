// SPDX-License-Identifier: Apache-2.0
//! Meshes in the manner of Istio's own samples, a file each: `samples/*.yaml`. Comments at the top name the targets.

use std::{fs, path::Path};

/// One file.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) yaml: String,
    pub(crate) targets: Vec<String>,
}

/// All of them, by name.
pub(crate) fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/samples");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| sample(path)).collect()
}

fn sample(path: &Path) -> Sample {
    let yaml = fs::read_to_string(path).unwrap();
    let targets = yaml.lines().find_map(|line| line.strip_prefix("# targets: ")).unwrap_or_else(|| panic!("{}", path.display()));
    let targets = targets.split(' ').map(str::to_owned).collect();
    Sample { name: path.file_stem().unwrap().to_string_lossy().into_owned(), yaml, targets }
}

impl Sample {
    /// Each VirtualService's name, with the text that lacks it.
    pub(crate) fn without_each_virtual_service(&self) -> Vec<(String, String)> {
        let documents: Vec<&str> = self.yaml.split("---\n").collect();
        let is_one = |document: &&str| document.contains("kind: VirtualService");
        let leaving_out = |at: usize| {
            let rest = documents.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, document)| *document);
            rest.collect::<Vec<_>>().join("---\n")
        };
        let found = documents.iter().enumerate().filter(|(_, document)| is_one(document));
        found.map(|(at, document)| (document.lines().nth(2).unwrap_or_default().to_owned(), leaving_out(at))).collect()
    }

    /// Whether it says where something runs.
    pub(crate) fn has_workloads(&self) -> bool {
        ["kind: EndpointSlice", "kind: WorkloadEntry", "endpoints:", "resolution: DNS"].iter().any(|word| self.yaml.contains(word))
    }

    /// Whether its VirtualServices are for gateways alone.
    pub(crate) fn is_for_gateways(&self) -> bool {
        self.yaml.contains("gateways: [") && !self.yaml.contains("gateways: [shop, mesh]")
    }
}
