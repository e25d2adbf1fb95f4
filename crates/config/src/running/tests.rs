use super::*;

fn home(root: &tempfile::TempDir) -> NodeHome {
    NodeHome::new(Some(root.path()), &"mix".parse().unwrap()).unwrap()
}

async fn mark(home: &NodeHome) -> Option<RunningMark> {
    home.mark_running(Duration::ZERO, || ()).await.unwrap()
}

#[tokio::test]
async fn a_node_runs_as_long_as_its_mark_is_there() {
    let root = tempfile::tempdir().unwrap();
    let home = home(&root);
    assert!(home.is_running().is_none() && mark(&home).await.is_none(), "there is no directory");
    std::fs::create_dir_all(home.dir()).unwrap();
    assert_eq!(home.is_running(), Some(false));
    let marked = mark(&home).await.unwrap();
    assert_eq!((home.is_running(), home.is_running()), (Some(true), Some(true)));
    drop(marked);
    assert_eq!(home.is_running(), Some(false));
}

#[tokio::test]
async fn a_start_waits_for_a_process_that_checks_the_mark() {
    let root = tempfile::tempdir().unwrap();
    let home = home(&root);
    std::fs::create_dir_all(home.dir()).unwrap();
    let looking = File::open(home.dir()).unwrap();
    looking.lock_shared().unwrap();
    let (mark, ()) = tokio::join!(mark(&home), async {
        tokio::task::yield_now().await;
        drop(looking);
    });
    assert!(mark.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_second_process_waits_for_the_first_and_then_gives_up() {
    let root = tempfile::tempdir().unwrap();
    let home = home(&root);
    std::fs::create_dir_all(home.dir()).unwrap();
    let first = mark(&home).await.unwrap();
    let mut waited = false;
    let second = home.mark_running(Duration::from_secs(20), || waited = true).await;
    assert!(second.is_err() && waited);
    let (second, ()) = tokio::join!(home.mark_running(Duration::from_secs(20), || ()), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(first);
    });
    assert!(second.unwrap().is_some());
}
