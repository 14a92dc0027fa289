//! Bounds on memory that many tasks share (P5): a count of bytes, and leases on it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A bounded number of bytes.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: usize,
    used: AtomicUsize,
}

/// Bytes taken from a [`Budget`]; they return when it is dropped.
#[derive(Debug)]
pub struct Lease {
    from: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Budget(Arc::new(Inner { bytes_max, used: AtomicUsize::new(0) }))
    }

    /// Takes `bytes`, or nothing when they do not fit.
    pub fn take(&self, bytes: usize) -> Option<Lease> {
        let mut used = self.0.used.load(Ordering::Relaxed);
        loop {
            let after = used.checked_add(bytes).filter(|n| *n <= self.0.bytes_max)?;
            match self.0.used.compare_exchange_weak(used, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(Lease { from: self.clone(), bytes }),
                Err(seen) => used = seen,
            }
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The bound, in bytes.
    pub fn bytes_max(&self) -> usize {
        self.0.bytes_max
    }
}

impl Lease {
    /// Makes the lease `bytes` larger, if they fit.
    pub fn grow(&mut self, bytes: usize) -> bool {
        match self.from.take(bytes) {
            Some(mut more) => {
                self.bytes += more.bytes;
                more.bytes = 0;
                true
            }
            None => false,
        }
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.from.0.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.from.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_exceed_the_budget_and_return() {
        let budget = Budget::new(100);
        let mut a = budget.take(60).expect("fits");
        assert!(budget.take(41).is_none());
        assert!(a.grow(40));
        assert!(!a.grow(1));
        a.shrink_to(10);
        assert_eq!(budget.used(), 10);
        drop(a);
        assert_eq!(budget.used(), 0);
    }
}
