//! axe-core on the page that is shown: what stands in the way of people who see, hear or move differently.
//!
//! In: `HIKYAKU_AXE`, the path of axe.min.js (`.ci/run` fetches it; it is not kept here).  Out: one line a finding.
//! Sources: WCAG 2.2 A and AA, axe-core's best practices.

use serde_json::{Value, json};

use crate::{program, tab::Tab};

/// Elements named a finding.
const NAMED_MAX: usize = 4;

/// The checker.
pub struct Axe(String);

impl Axe {
    /// Reads it; `None`: it is not there, which was said.
    pub fn load() -> Option<Self> {
        let Some(path) = std::env::var_os("HIKYAKU_AXE") else {
            program::missing("axe-core: HIKYAKU_AXE names no axe.min.js");
            return None;
        };
        Some(Axe(std::fs::read_to_string(path).expect("HIKYAKU_AXE can be read")))
    }

    /// Puts it into the page that is loaded.
    pub fn enter(&self, tab: &Tab<'_>) {
        tab.evaluate(&format!("{};0", self.0));
    }

    /// What it finds; [`is_serious`] says what must not be.
    pub fn findings(&self, tab: &Tab<'_>) -> Vec<String> {
        let options = json!({
            "resultTypes": ["violations"],
            // Reading stylesheets again by script is what the page's policy forbids.
            "preload": false,
            "runOnly": { "type": "tag", "values":
                ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] },
            "rules": { "target-size": { "enabled": true } },
        });
        let run = format!(
            "axe.run(document, {options}).then(r => r.violations.map(v => ({{ id: v.id, impact: v.impact, \
             help: v.help, nodes: v.nodes.map(n => n.target.join(' ') + ' ' + (n.any[0] || n.all[0] || n.none[0] || \
             {{}}).message) }})))"
        );
        let found = tab.evaluate(&run);
        let found = found.as_array().expect("axe answers with a list");
        found.iter().map(line).collect()
    }
}

/// A finding that shuts somebody out.
pub fn is_serious(line: &str) -> bool {
    line.contains("(serious)") || line.contains("(critical)")
}

fn line(finding: &Value) -> String {
    let nodes = finding["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named: Vec<&str> = nodes.iter().take(NAMED_MAX).filter_map(Value::as_str).collect();
    format!(
        "axe {} ({}): {} × {}: {}",
        finding["id"].as_str().unwrap_or_default(),
        finding["impact"].as_str().unwrap_or_default(),
        nodes.len(),
        finding["help"].as_str().unwrap_or_default(),
        named.join(" | ")
    )
}
