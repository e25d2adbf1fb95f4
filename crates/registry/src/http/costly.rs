//! Cache for expensive public responses: concurrent callers share one, and it is rebuilt at a limited rate.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Maximum age of an unchanged response: its uptime shares depend on the clock.
const KEPT: Duration = Duration::from_secs(5);

/// A response that took less time to build is rebuilt after every change.
const CHEAP: Duration = Duration::from_millis(50);

/// A more expensive response is reused, even after a change, for this multiple of its build time.
const KEPT_FACTOR: u32 = 10;

/// Maximum time for which a response may be out of date.
const OUTDATED_MAX: Duration = Duration::from_mins(1);

/// Latest response, or what responses are made from.
#[derive(Debug)]
pub(crate) struct Costly<T>(Mutex<Option<Latest<T>>>);

#[derive(Debug)]
struct Latest<T> {
    response: T,
    generation: u64,
    made_at: Instant,
    took: Duration,
}

impl<T> Default for Costly<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Costly<T> {
    /// Returns the response; calls `make` if no usable one is cached for this generation of the store.
    pub(crate) async fn get<E>(&self, generation: u64, make: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut latest = self.0.lock().await;
        if let Some(latest) = latest.as_ref().filter(|latest| latest.is_usable(generation)) {
            return Ok(latest.response.clone());
        }
        let started = Instant::now();
        let response = make.await?;
        let made_at = Instant::now();
        *latest = Some(Latest { response: response.clone(), generation, made_at, took: made_at - started });
        Ok(response)
    }
}

impl<T> Latest<T> {
    fn is_usable(&self, generation: u64) -> bool {
        let age = self.made_at.elapsed();
        let is_current = self.generation == generation && age < KEPT;
        is_current || (self.took >= CHEAP && age < (self.took * KEPT_FACTOR).min(OUTDATED_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio::time::{advance, sleep};

    async fn get(
        costly: &Costly<&'static str>,
        generation: u64,
        answer: &'static str,
        takes: Duration,
    ) -> &'static str {
        let make = async {
            sleep(takes).await;
            Ok::<_, Infallible>(answer)
        };
        costly.get(generation, make).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn cheap_answers_follow_every_change_and_the_clock() {
        let costly = Costly::default();
        let cheap = Duration::from_millis(1);
        assert_eq!(get(&costly, 1, "first", cheap).await, "first");
        assert_eq!(get(&costly, 1, "second", cheap).await, "first", "nothing has changed");
        assert_eq!(get(&costly, 2, "third", cheap).await, "third");
        advance(KEPT).await;
        assert_eq!(get(&costly, 2, "fourth", cheap).await, "fourth");
    }

    #[tokio::test(start_paused = true)]
    async fn expensive_answers_are_kept_in_proportion_to_their_cost() {
        let costly = Costly::default();
        let dear = Duration::from_secs(2);
        assert_eq!(get(&costly, 1, "first", dear).await, "first");
        advance(Duration::from_secs(19)).await;
        assert_eq!(get(&costly, 2, "second", dear).await, "first", "for 20 s");
        advance(Duration::from_secs(2)).await;
        assert_eq!(get(&costly, 3, "third", Duration::from_mins(10)).await, "third");
        advance(OUTDATED_MAX + KEPT).await;
        assert_eq!(get(&costly, 4, "fourth", dear).await, "fourth");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_kept() {
        let costly = Costly::<&str>::default();
        assert_eq!(costly.get(1, async { Err(7) }).await, Err(7));
        assert_eq!(get(&costly, 1, "answer", Duration::ZERO).await, "answer");
    }
}
