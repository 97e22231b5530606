//! Can requests be answered now, and if not, for want of what?

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Whether something that is needed is there; if not, what is wrong, in words without secrets and without people.
pub type Fact = Result<(), String>;

type Look = Box<dyn Fn() -> Fact + Send + Sync>;

/// What must be there, and what is told besides, each under its name. A clone tells the same.
#[derive(Clone, Default)]
pub struct Readiness(Arc<RwLock<Looks>>);

#[derive(Default)]
struct Looks {
    needs: Vec<(&'static str, Look)>,
    tells: Vec<(&'static str, Look)>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

impl Readiness {
    /// One more thing that must be there. `look` is called for each probe: it reads what is known and asks nobody.
    pub fn needs(&self, name: &'static str, look: impl Fn() -> Fact + Send + Sync + 'static) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).needs.push((name, Box::new(look)));
    }

    /// One more thing of which is told, and without which requests can be answered all the same.
    pub fn tells(&self, name: &'static str, look: impl Fn() -> Fact + Send + Sync + 'static) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).tells.push((name, Box::new(look)));
    }

    /// The house closes: what the looks hold is let go, and nothing is ready any more.
    pub fn close(&self) {
        let closed: (&'static str, Look) = ("doors", Box::new(|| Err("the gate is closing".to_owned())));
        let held = {
            let mut looks = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *looks, Looks { needs: vec![closed], tells: Vec::new() })
        };
        drop(held);
    }

    /// How it stands with each of them, in the order in which they were named.
    #[must_use]
    pub fn look(&self) -> Vec<(&'static str, Fact)> {
        let looks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        looks.needs.iter().map(|(name, look)| (*name, look())).collect()
    }

    /// How it stands with what is told besides.
    #[must_use]
    pub fn besides(&self) -> Vec<(&'static str, Fact)> {
        let looks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        looks.tells.iter().map(|(name, look)| (*name, look())).collect()
    }

    /// Whether all of them are there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.look().iter().all(|(_, fact)| fact.is_ok())
    }
}
