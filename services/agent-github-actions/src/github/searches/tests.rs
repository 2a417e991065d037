use super::*;
use futures::future::join_all;
use futures::poll;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

/// Searches that end when they are let, and answer which one they are.
#[derive(Clone)]
struct Stage {
    searches: Arc<Searches<&'static str, usize>>,
    /// How far back each went that began.
    begun: Arc<Mutex<Vec<i64>>>,
    ends: Arc<Semaphore>,
    /// What they answer instead.
    error: Option<CallError>,
}

type Finder = Pin<Box<dyn Future<Output = Result<usize, CallError>> + Send>>;

impl Stage {
    fn new() -> Self {
        Self {
            searches: Arc::new(Searches::new()),
            begun: Arc::default(),
            ends: Arc::new(Semaphore::new(0)),
            error: None,
        }
    }

    fn finder_of(&self, kind: &'static str, from: i64) -> Finder {
        let stage = self.clone();
        Box::pin(async move {
            let searches = Arc::clone(&stage.searches);
            searches.answer(kind, at(from), move |from| stage.search(from)).await
        })
    }

    /// One that waits already.
    async fn finder(&self, from: i64) -> Finder {
        let mut finder = self.finder_of("a", from);
        assert!(is_waiting(&mut finder).await);
        finder
    }

    async fn search(self, from: Timestamp) -> Result<usize, CallError> {
        let number = {
            let mut begun = self.begun.lock().unwrap();
            begun.push(from.timestamp());
            begun.len()
        };
        self.ends.acquire().await.unwrap().forget();
        self.error.map_or(Ok(number), Err)
    }

    fn begun(&self) -> Vec<i64> {
        self.begun.lock().unwrap().clone()
    }

    fn end(&self, searches: usize) {
        self.ends.add_permits(searches);
    }

    fn keeps_nothing(&self) -> bool {
        self.searches.places.lock().unwrap().is_empty()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

async fn is_waiting(finder: &mut Finder) -> bool {
    poll!(finder) == Poll::Pending
}

async fn answer(finder: impl Future<Output = Result<usize, CallError>>) -> Result<usize, CallError> {
    tokio::time::timeout(SOON, finder).await.expect("an answer")
}

#[tokio::test]
async fn one_search_serves_all_who_came_before_it_began() {
    let stage = Stage::new();
    let first = stage.finder(50).await;
    let mut others = Vec::new();
    for from in 100..200 {
        others.push(stage.finder(from).await);
    }
    stage.end(2);
    assert_eq!(answer(first).await, Ok(1));
    assert_eq!(join_all(others).await, vec![Ok(2); 100]);
    assert_eq!(stage.begun(), [50, 100]);
    assert!(stage.keeps_nothing());
}

#[tokio::test]
async fn who_comes_after_a_search_began_is_served_by_another() {
    let stage = Stage::new();
    let mut first = stage.finder(7).await;
    assert_eq!(stage.begun(), [7]);
    let mut second = stage.finder(7).await;
    stage.end(1);
    assert_eq!(answer(&mut first).await, Ok(1));
    assert!(is_waiting(&mut second).await);
    assert_eq!(stage.begun(), [7, 7], "the next began when the first was over");
    let third = stage.finder(7).await;
    stage.end(2);
    assert_eq!((answer(second).await, answer(third).await), (Ok(2), Ok(3)));
    assert!(stage.keeps_nothing());
}

#[tokio::test]
async fn a_search_goes_back_as_far_as_anybody_needs() {
    let stage = Stage::new();
    let first = stage.finder(1).await;
    let others = [stage.finder(30).await, stage.finder(20).await, stage.finder(40).await];
    stage.end(2);
    assert_eq!(answer(first).await, Ok(1));
    assert_eq!(join_all(others).await, [Ok(2), Ok(2), Ok(2)]);
    assert_eq!(stage.begun(), [1, 20]);
}

#[tokio::test]
async fn a_search_outlives_whoever_began_it() {
    let stage = Stage::new();
    let first = stage.finder(1).await;
    let (mut leader, other) = (stage.finder(2).await, stage.finder(3).await);
    stage.end(1);
    assert_eq!(answer(first).await, Ok(1));
    assert!(is_waiting(&mut leader).await);
    assert_eq!(stage.begun(), [1, 2]);
    let mut tasks = JoinSet::new();
    tasks.spawn(other);
    // The other is asleep, so it has to be woken.
    tokio::task::yield_now().await;
    drop(leader);
    stage.end(1);
    let woken = tokio::time::timeout(SOON, tasks.join_next()).await.expect("it was woken");
    assert_eq!(woken.unwrap().unwrap(), Ok(2));
    assert_eq!(stage.begun(), [1, 2], "it was not made again");
    assert!(stage.keeps_nothing());
}

#[tokio::test]
async fn whoever_leaves_before_its_turn_leaves_nobody_behind() {
    let stage = Stage::new();
    let first = stage.finder(1).await;
    let (leader, other) = (stage.finder(2).await, stage.finder(3).await);
    drop(leader);
    drop(first);
    stage.end(1);
    assert_eq!(answer(other).await, Ok(2));
    assert_eq!(stage.begun(), [1, 2]);
    assert!(stage.keeps_nothing());
}

#[tokio::test]
async fn a_search_nobody_waits_for_is_given_up() {
    let stage = Stage::new();
    let first = stage.finder(1).await;
    let second = stage.finder(2).await;
    drop((first, second));
    assert!(stage.keeps_nothing());
    let held = Arc::strong_count(&stage.ends);
    let third = stage.finder(3).await;
    assert_eq!(stage.begun(), [1, 3]);
    stage.end(1);
    assert_eq!(answer(third).await, Ok(2));
    assert_eq!((Arc::strong_count(&stage.ends), held), (1, 1), "no search is left");
}

#[tokio::test]
async fn a_wait_that_all_gave_up_does_not_lend_its_place() {
    let stage = Stage::new();
    let first = stage.finder(5).await;
    drop(stage.finder(1).await);
    let second = stage.finder(6).await;
    stage.end(2);
    assert_eq!((answer(first).await, answer(second).await), (Ok(1), Ok(2)));
    assert_eq!(stage.begun(), [5, 6]);
}

#[tokio::test]
async fn an_error_reaches_all_who_waited_and_nobody_else() {
    let why = CallError::Transient("out of order".to_owned());
    let mut stage = Stage::new();
    let first = stage.finder(1).await;
    stage.error = Some(why.clone());
    let broken = [stage.finder(2).await, stage.finder(3).await];
    stage.end(2);
    assert_eq!(answer(first).await, Ok(1));
    assert_eq!(join_all(broken).await, [Err(why.clone()), Err(why)]);
    stage.error = None;
    stage.end(1);
    assert_eq!(answer(stage.finder_of("a", 4)).await, Ok(3));
    assert!(stage.keeps_nothing());
}

#[tokio::test]
async fn kinds_do_not_wait_for_each_other() {
    let stage = Stage::new();
    let mut one = stage.finder_of("a", 1);
    let mut other = stage.finder_of("b", 2);
    assert!(is_waiting(&mut one).await && is_waiting(&mut other).await);
    assert_eq!(stage.begun(), [1, 2]);
    stage.end(2);
    assert_eq!((answer(one).await, answer(other).await), (Ok(1), Ok(2)));
    assert!(stage.keeps_nothing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_older_than_its_question() {
    let stage = Stage::new();
    stage.end(100_000);
    let mut tasks = JoinSet::new();
    for n in 0..500 {
        let stage = stage.clone();
        tasks.spawn(async move {
            for round in 0..20 {
                let before = stage.begun().len();
                let mut finder = stage.finder_of("a", i64::from(n));
                let number = match poll!(&mut finder) {
                    Poll::Pending if round % 5 == n % 5 => continue,
                    Poll::Pending => answer(finder).await.unwrap(),
                    Poll::Ready(number) => number.unwrap(),
                };
                assert!(number > before, "{number} had begun when it was asked for");
                assert!(stage.begun()[number - 1] <= i64::from(n));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert!(stage.keeps_nothing());
}
