//! Sections of docs/OPERATIONS.md on backups and the restore drill.

const PAGE: &str = include_str!("../../../../docs/OPERATIONS.md");

/// Returns the blocks of a language, in order and without their indentation.
pub(super) fn blocks(language: &str) -> Vec<String> {
    let sections = PAGE.split_once("\n## Backup\n").and_then(|(_, rest)| rest.split_once("\n## D"));
    let (mut blocks, mut open) = (Vec::new(), None);
    for line in sections.map_or("", |(sections, _)| sections).lines() {
        let text = line.trim_start();
        open = match (open.take(), text.strip_prefix("```")) {
            (None, Some(start)) => Some((start.to_owned(), line.len() - text.len(), String::new())),
            (None, None) => None,
            (Some((found, _, block)), Some(_)) => {
                blocks.extend((found == language).then_some(block));
                None
            }
            (Some((found, indent, block)), None) => {
                Some((found, indent, block + line.get(indent..).unwrap_or_default() + "\n"))
            }
        };
    }
    blocks
}
