//! The queue of boots that are due. A boot is committed before its script is sent, and a commit
//! costs as much for one machine as for fifty: those that wait are started together.

use futures_util::FutureExt;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::name::ProfileName;
use moxxie_store::{BootJob, BootStep, Result, Store, StoreError};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Machines that may wait; beyond, the database is not keeping up.
const QUEUE: usize = 8192;
/// Machines that are started in one transaction at most. One that changes hands at the same moment
/// holds up its list, so lists are short.
const TOGETHER: usize = 64;

/// Decides under the lock. Called again, from the beginning, when its list had to be given up.
pub type Step = BootStep<'static>;

struct Job {
    claims: BootClaims,
    asked: Option<ProfileName>,
    step: Step,
    done: oneshot::Sender<Result<()>>,
}

/// The queue's entrance.
#[derive(Clone)]
pub struct Boots(mpsc::Sender<Job>);

impl Boots {
    /// A queue, and the task that has to be spawned for it.
    pub fn new(store: Arc<Store>) -> (Boots, impl Future<Output = ()> + Send) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        (Boots(queue), start_all(store, jobs))
    }

    /// Runs the step on what the database knows of these claims, under a lock, and commits what it
    /// starts.
    pub async fn start(&self, claims: BootClaims, asked: Option<ProfileName>, step: Step) -> Result<()> {
        let busy = || StoreError::Unavailable("too many boots are waiting".into());
        let (done, outcome) = oneshot::channel();
        self.0.try_send(Job { claims, asked, step, done }).map_err(|_| busy())?;
        outcome.await.unwrap_or_else(|_| Err(busy()))
    }
}

async fn start_all(store: Arc<Store>, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(TOGETHER);
    while queue.recv_many(&mut jobs, TOGETHER).await > 0 {
        match start(&store, &mut jobs).await {
            Err(StoreError::Unavailable(why)) => {
                for job in jobs.drain(..) {
                    let _ = job.done.send(Err(StoreError::Unavailable(why.clone())));
                }
            }
            // Something is wrong with one of them: the others must not suffer for it.
            Err(_) if jobs.len() > 1 => {
                for mut job in jobs.drain(..) {
                    let outcome = start(&store, std::slice::from_mut(&mut job)).await;
                    let _ = job.done.send(outcome);
                }
            }
            Err(error) => {
                // Only one: the longer lists were dealt with above.
                if let Some(job) = jobs.pop() {
                    let _ = job.done.send(Err(error));
                }
            }
            Ok(()) => {
                for job in jobs.drain(..) {
                    // A machine that went away meanwhile asks again.
                    let _ = job.done.send(Ok(()));
                }
            }
        }
    }
}

async fn start(store: &Store, jobs: &mut [Job]) -> Result<()> {
    let list = jobs
        .iter_mut()
        .map(|Job { claims, asked, step, .. }| BootJob {
            claims,
            asked: asked.as_ref(),
            step: Box::new(move |view| step(view)),
        })
        .collect();
    // A panic in one step costs its list, not the queue.
    match AssertUnwindSafe(store.boot(list)).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Corrupt("a step panicked; this is a bug".into())),
    }
}
