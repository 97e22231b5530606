//! How many requests does MLflow answer at once?
//!
//! Each that is being answered has a place, until the last byte of its answer has left: some of the caller's own, and one of
//! everybody's. Who comes when all are taken waits, first come first served; and not too many wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::mlflow::ids::UserName;

/// How many may wait for each place.
const WAITING: usize = 8;

/// No place became free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded {
    pub(super) most: usize,
}

/// A number of places, and a bound on those who wait for them.
#[derive(Debug)]
struct Row {
    most: usize,
    free: Arc<Semaphore>,
    /// Those who wait may; whoever finds none of these is sent away.
    waiting: Semaphore,
}

impl Row {
    fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS / WAITING);
        Self { most, free: Arc::new(Semaphore::new(most)), waiting: Semaphore::new(most * WAITING) }
    }

    async fn take(&self, end: Instant) -> Result<OwnedSemaphorePermit, Crowded> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(permit);
        }
        let crowded = Crowded { most: self.most };
        let _waits = self.waiting.try_acquire().map_err(|_| crowded)?;
        match timeout_at(end, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(crowded),
        }
    }
}

type People = Arc<Mutex<HashMap<UserName, Arc<Row>>>>;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    of_person: usize,
    people: People,
    all: Option<Row>,
}

/// A request's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    // Dropped in this order: the permit is given back before the row is looked at.
    all: Option<OwnedSemaphorePermit>,
    _own: Option<OwnedSemaphorePermit>,
    _row: Option<Seen>,
}

/// Somebody's row while somebody looks at it. The last one takes it away.
#[derive(Debug)]
struct Seen {
    people: People,
    user: UserName,
    row: Option<Arc<Row>>,
}

impl Places {
    /// So many for each and for all; 0: any number.
    pub(super) fn new(of_person: usize, of_all: usize) -> Self {
        Self { of_person, people: People::default(), all: (of_all > 0).then(|| Row::new(of_all)) }
    }

    /// One of the caller's own.
    pub(super) async fn of_person(&self, user: &UserName, end: Instant) -> Result<Place, Crowded> {
        if self.of_person == 0 {
            return Ok(Place { all: None, _own: None, _row: None });
        }
        let row = {
            let mut people = lock(&self.people);
            match people.get(user) {
                Some(row) => Arc::clone(row),
                None => Arc::clone(people.entry(user.clone()).or_insert_with(|| Arc::new(Row::new(self.of_person)))),
            }
        };
        let seen = Seen { people: Arc::clone(&self.people), user: user.clone(), row: Some(row) };
        let own = match &seen.row {
            Some(row) => Some(row.take(end).await?),
            None => None,
        };
        Ok(Place { all: None, _own: own, _row: Some(seen) })
    }

    /// And one of everybody's.
    pub(super) async fn of_all(&self, mut place: Place, end: Instant) -> Result<Place, Crowded> {
        if let Some(all) = &self.all {
            place.all = Some(all.take(end).await?);
        }
        Ok(place)
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let mut people = lock(&self.people);
        drop(self.row.take());
        // Nobody else can come to it while the map is locked.
        if people.get(&self.user).is_some_and(|row| Arc::strong_count(row) == 1) {
            people.remove(&self.user);
        }
    }
}

fn lock(people: &Mutex<HashMap<UserName, Arc<Row>>>) -> MutexGuard<'_, HashMap<UserName, Arc<Row>>> {
    // Nothing between lock and unlock can leave the map wrong.
    people.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn one_caller_cannot_take_all_places() {
        let places = Places::new(2, 3);
        let ann = user("ann");
        let one = places.of_person(&ann, now()).await.unwrap();
        let one = places.of_all(one, now()).await.unwrap();
        let two = places.of_person(&ann, now()).await.unwrap();
        let _two = places.of_all(two, now()).await.unwrap();
        assert_eq!(places.of_person(&ann, now()).await.unwrap_err(), Crowded { most: 2 });
        let bob = places.of_person(&user("bob"), now()).await.unwrap();
        let _bob = places.of_all(bob, now()).await.unwrap();
        let carol = places.of_person(&user("carol"), now()).await.unwrap();
        assert_eq!(places.of_all(carol, now()).await.unwrap_err(), Crowded { most: 3 });
        drop(one);
        let carol = places.of_person(&user("carol"), now()).await.unwrap();
        places.of_all(carol, now()).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_comes_when_a_place_is_free() {
        let places = Arc::new(Places::new(1, 0));
        let place = places.of_person(&user("ann"), now()).await.unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.of_person(&user("ann"), later()).await.is_ok() }
        });
        while lock(&places.people).get(&user("ann")).unwrap().waiting.available_permits() == WAITING {
            tokio::task::yield_now().await;
        }
        drop(place);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let places = Arc::new(Places::new(1, 0));
        let _place = places.of_person(&user("ann"), now()).await.unwrap();
        for _ in 0..WAITING {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.of_person(&user("ann"), later()).await.is_ok() });
        }
        while lock(&places.people).get(&user("ann")).unwrap().waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(places.of_person(&user("ann"), later()).await.unwrap_err(), Crowded { most: 1 });
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_who_are_gone() {
        let places = Arc::new(Places::new(1, 0));
        let place = places.of_person(&user("ann"), now()).await.unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.of_person(&user("ann"), later()).await.is_ok() }
        });
        while lock(&places.people).get(&user("ann")).unwrap().waiting.available_permits() == WAITING {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(place);
        assert!(lock(&places.people).is_empty());
    }
}
