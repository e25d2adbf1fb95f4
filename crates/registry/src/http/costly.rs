//! Cache for expensive public responses: concurrent callers share one, and it is rebuilt at a limited rate.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use tracing::error;

use crate::task::output_of;

/// Maximum age of an unchanged response: its uptime shares depend on the clock.
const KEPT: Duration = Duration::from_secs(5);

/// A response that took less time to build is rebuilt after every change.
const CHEAP: Duration = Duration::from_millis(50);

/// A more expensive response is reused, even after a change, for this multiple of its build time.
const KEPT_FACTOR: u32 = 10;

/// Maximum time for which a response may be out of date.
const OUTDATED_MAX: Duration = Duration::from_mins(1);

/// Latest response, or what responses are made from. Clones share it.
#[derive(Debug)]
pub(crate) struct Costly<T> {
    latest: Arc<Mutex<Option<Latest<T>>>>,
    /// Locked by the one that builds the next response.
    turn: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Latest<T> {
    response: T,
    generation: u64,
    made_at: Instant,
    took: Duration,
}

impl<T> Default for Costly<T> {
    fn default() -> Self {
        Self { latest: Arc::default(), turn: Arc::default() }
    }
}

impl<T> Clone for Costly<T> {
    fn clone(&self) -> Self {
        Self { latest: Arc::clone(&self.latest), turn: Arc::clone(&self.turn) }
    }
}

impl<T: Clone + Send + 'static> Costly<T> {
    /// Returns the response; calls `make` if no usable one is cached for this generation of the store. An expensive
    /// response that has just become unusable is returned once more while the next one is built.
    pub(crate) async fn get<E>(
        &self,
        generation: u64,
        make: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        E: Display + Send + 'static,
    {
        if let Some(response) = self.cached(|latest| latest.is_usable(generation)).await {
            return Ok(response);
        }
        if let Some(response) = self.cached(Latest::bridges_a_build).await {
            if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
                tokio::spawn(self.clone().build_in_background(turn, generation, make));
            }
            return Ok(response);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(response) = self.cached(|latest| latest.is_usable(generation)).await {
            return Ok(response);
        }
        // Continues when the caller leaves, for those that wait.
        output_of(tokio::spawn(self.clone().build(turn, generation, make))).await
    }

    async fn cached(&self, suits: impl Fn(&Latest<T>) -> bool) -> Option<T> {
        self.latest.lock().await.as_ref().filter(|latest| suits(latest)).map(|latest| latest.response.clone())
    }

    async fn build<E>(
        self,
        turn: OwnedMutexGuard<()>,
        generation: u64,
        make: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let response = make.await?;
        let made_at = Instant::now();
        let latest = Latest { response: response.clone(), generation, made_at, took: made_at - started };
        *self.latest.lock().await = Some(latest);
        drop(turn);
        Ok(response)
    }

    async fn build_in_background<E: Display>(
        self,
        turn: OwnedMutexGuard<()>,
        generation: u64,
        make: impl Future<Output = Result<T, E>>,
    ) {
        if let Err(error) = self.build(turn, generation, make).await {
            error!(%error, "cannot rebuild a response; serving the earlier one");
        }
    }
}

impl<T> Latest<T> {
    fn is_usable(&self, generation: u64) -> bool {
        let age = self.made_at.elapsed();
        let is_current = self.generation == generation && age < KEPT;
        is_current || (self.took >= CHEAP && age < self.kept())
    }

    /// Whether callers get this response, which is no longer usable, while the next one is built.
    fn bridges_a_build(&self) -> bool {
        self.took >= CHEAP && self.made_at.elapsed() < (2 * self.kept().max(KEPT)).min(OUTDATED_MAX)
    }

    fn kept(&self) -> Duration {
        (self.took * KEPT_FACTOR).min(OUTDATED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio::time::{advance, sleep, timeout};

    async fn get(
        costly: &Costly<&'static str>,
        generation: u64,
        answer: &'static str,
        takes: Duration,
    ) -> &'static str {
        let make = async move {
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
        advance(Duration::from_secs(22)).await;
        assert_eq!(get(&costly, 3, "third", Duration::from_mins(10)).await, "third");
        advance(OUTDATED_MAX + KEPT).await;
        assert_eq!(get(&costly, 4, "fourth", dear).await, "fourth");
    }

    #[tokio::test(start_paused = true)]
    async fn an_expensive_answer_is_given_while_the_next_one_is_built() {
        let costly = Costly::default();
        let dear = Duration::from_secs(2);
        assert_eq!(get(&costly, 1, "first", dear).await, "first");
        advance(Duration::from_secs(21)).await;
        let asked = Instant::now();
        assert_eq!(get(&costly, 2, "second", dear).await, "first");
        assert_eq!(get(&costly, 2, "never built", dear).await, "first", "one is being built");
        assert_eq!(asked.elapsed(), Duration::ZERO);
        sleep(2 * dear).await;
        assert_eq!(get(&costly, 3, "third", dear).await, "second");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_built_although_the_first_caller_leaves() {
        let costly = Costly::default();
        let dear = Duration::from_secs(2);
        timeout(dear / 2, get(&costly, 1, "first", dear)).await.unwrap_err();
        assert_eq!(get(&costly, 1, "second", dear).await, "first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_kept() {
        let costly = Costly::<&str>::default();
        assert_eq!(costly.get(1, async { Err(7) }).await, Err(7));
        assert_eq!(get(&costly, 1, "answer", Duration::ZERO).await, "answer");
    }
}
