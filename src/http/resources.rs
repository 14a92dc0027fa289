//! Disk and memory, as the overview shows them: what is used, what is left, and the bounds that the config sets.
//!
//! In: the data directory, the process's own figures.  Out: [`Resources`].
//! Always: two short reads of the system; a figure that the system does not tell is left out, and nothing fails for it.
//! Sources: proc_pid_status(5), statvfs(3).

use std::path::Path;

/// Octets of the status file that are read.
const STATUS_OCTETS_MAX: usize = 16 * 1024;
/// Free space below this many times `disk_free_min` is worth a warning.
const NEARLY: u64 = 2;
/// Memory from this part of the limit on is worth a warning, in hundredths.
const MEMORY_HIGH_PERCENT: u64 = 90;

/// What the process uses, and what there is. Octets throughout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources {
    /// Free room where the data directory is.
    pub disk_free: Option<u64>,
    /// All room there.
    pub disk_total: Option<u64>,
    /// `[queue] disk_free_min`: below it, new mail is answered 452.
    pub disk_free_min: u64,
    /// The database.
    pub database: u64,
    /// Bodies of mail.
    pub bodies: u64,
    /// Memory of this process now.
    pub memory: Option<u64>,
    /// The most that it has used since its start.
    pub memory_peak: Option<u64>,
    /// `[server] memory_limit`: what the process keeps to.
    pub memory_limit: u64,
    /// Of that, what bodies and the queue's window have leased.
    pub leased: u64,
    /// What they may lease.
    pub leases_max: u64,
}

impl Resources {
    /// The disk is nearly as full as is allowed.
    pub fn disk_is_short(&self) -> bool {
        self.disk_free.is_some_and(|free| free < self.disk_free_min.saturating_mul(NEARLY))
    }

    /// The process is near its limit.
    pub fn memory_is_short(&self) -> bool {
        self.memory
            .is_some_and(|used| used.saturating_mul(100) >= self.memory_limit.saturating_mul(MEMORY_HIGH_PERCENT))
    }

    /// The disk's figures, filled in.
    pub fn look_at_disk(&mut self, data_dir: &Path) {
        if let Ok(found) = rustix::fs::statvfs(data_dir) {
            self.disk_free = found.f_bavail.checked_mul(found.f_frsize);
            self.disk_total = found.f_blocks.checked_mul(found.f_frsize);
        }
    }

    /// The memory's figures, filled in.
    pub fn look_at_memory(&mut self) {
        let Ok(status) = std::fs::read("/proc/self/status") else { return };
        let status = String::from_utf8_lossy(&status[..status.len().min(STATUS_OCTETS_MAX)]);
        self.memory = line_of(&status, "VmRSS:");
        self.memory_peak = line_of(&status, "VmHWM:");
    }
}

/// A line such as `VmRSS: 123 kB`, in octets.
fn line_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_figures_are_read() {
        let mut found = Resources { disk_free_min: 1, memory_limit: 1 << 40, ..Resources::default() };
        found.look_at_disk(Path::new("/"));
        found.look_at_memory();
        let (free, total) = (found.disk_free.expect("free"), found.disk_total.expect("total"));
        assert!(free <= total && total > 0);
        let (now, peak) = (found.memory.expect("memory"), found.memory_peak.expect("peak"));
        assert!(now > 100_000 && now <= peak + (64 << 20), "{now} {peak}");
        assert!(!found.memory_is_short() && !found.disk_is_short());
        found.look_at_disk(Path::new("/nowhere/at/all"));
        assert!(found.disk_free.is_some(), "what was known stays");
    }

    #[test]
    fn what_is_short_is_said() {
        let mut r =
            Resources { disk_free: Some(1_999), disk_free_min: 1_000, memory_limit: 1_000, ..Resources::default() };
        assert!(r.disk_is_short() && !r.memory_is_short());
        (r.disk_free, r.memory) = (Some(2_000), Some(900));
        assert!(!r.disk_is_short() && r.memory_is_short());
        assert_eq!(line_of("Name:\tx\nVmRSS:\t  123 kB\n", "VmRSS:"), Some(123 * 1024));
        assert_eq!([line_of("", "VmRSS:"), line_of("VmRSS: x kB", "VmRSS:"), line_of("VmRSS: 1", "VmRSS:")], [None; 3]);
    }
}
