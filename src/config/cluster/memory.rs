//! What a configuration lets a process take, beside what it may have: a replica that is killed for its memory takes
//! the streams of everybody with it, and the next one gets its load.

use crate::config::{Cluster, Config, problem::Problems};

/// What a process takes with nothing in its caches, in bytes: tokenizer, vocabularies and code (the README, "Scale on paper").
const BASE: u64 = 128 * MIB;
/// A cached key with six patterns in its lists and all that finds it, in bytes: 3,800 were measured (the same).
const KEY: u64 = 4_096;
const MIB: u64 = 1024 * 1024;

impl Cluster {
    /// Whether what may be held at once fits.
    pub(super) fn memory(&self, config: &Config, errors: &mut Problems<'_>, warnings: &mut Problems<'_>) {
        let Some(memory) = self.memory else { return };
        let bodies = config.limits.body_memory as u64;
        let vectors =
            config.pruning.embeddings.as_ref().map_or(0, |embeddings| embeddings.cache_bytes as u64);
        let keys = config.auth.cache_keys.saturating_mul(KEY);
        let parts = [
            ("limits.body_memory", bodies),
            ("auth.cache_keys", keys),
            ("pruning.cache_bytes", config.pruning.cache_bytes as u64),
            ("pruning.embeddings.cache_bytes", vectors),
            ("the process itself", BASE),
        ];
        let sum = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let (field, _) = parts[..4].iter().max_by_key(|(_, bytes)| *bytes).copied().unwrap_or(parts[0]);
        let listed: Vec<_> = parts
            .iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| format!("{name} {}", mebibytes(*bytes)))
            .collect();
        let told = format!(
            "of {} of memory, {} may be taken ({})",
            mebibytes(memory),
            mebibytes(sum),
            listed.join(", ")
        );
        if sum > memory {
            errors.add(field, format!("{told}: lower it, or give each replica more memory"));
        } else if sum > memory / 4 * 3 {
            warnings.add(
                field,
                format!("{told}, and connections and answers under way come on top: leave a quarter free"),
            );
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

/// Reads an amount of memory: bytes, or with one of `Ki`, `Mi` and `Gi` (and a `B`, if you like), as Kubernetes writes it.
///
/// # Errors
/// It is none, or less than 16 MiB: somebody meant another unit.
pub fn bytes_of(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('B').unwrap_or(text);
    let units = [("Ki", 1024), ("Mi", MIB), ("Gi", 1024 * MIB)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| number.strip_suffix(unit).map(|number| (number, *factor)))
        .unwrap_or((number, 1));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.filter(|bytes| (16 * MIB..=1024 * 1024 * MIB).contains(bytes)).ok_or_else(|| {
        "give bytes, or a number with Ki, Mi or Gi, from 16Mi to 1024Gi, such as `2Gi`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_kubernetes_writes_it() {
        for (text, bytes) in
            [("1Gi", 1024 * MIB), ("512Mi", 512 * MIB), ("2GiB", 2048 * MIB), ("16777216", 16 * MIB)]
        {
            assert_eq!(bytes_of(text), Ok(bytes), "{text}");
        }
        for text in ["", "1", "1G", "-1Gi", "1.5Gi", "4Mi", "Gi", "2000Gi", "99999999999999999999Gi"] {
            assert!(bytes_of(text).is_err(), "{text}");
        }
    }
}
