//! Threads, each with a workspace of its own, that work on chunks in turn.
//!
//! Results come back in the order of the chunks, whichever thread computed them.

use super::{Program, Workspace};
use crate::error::{Error, Result};
use crate::setting::Setting;
use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest number of threads of a pool: each has a workspace of its own.
pub const MOST_THREADS: usize = 512;

/// A fixed set of threads.
#[derive(Debug)]
pub struct Pool {
    threads: rayon::ThreadPool,
}

impl Pool {
    /// `threads` threads; 0 takes one per core.
    pub fn new(threads: usize) -> Result<Self> {
        if threads > MOST_THREADS {
            let reason = format!("{threads} are more than {MOST_THREADS}");
            return Err(Error::argument(Setting::Threads, reason, "give 0 for one per core"));
        }
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let threads = built.map_err(|e| {
            let reason = format!("cannot start {threads} threads: {e}");
            Error::argument(Setting::Threads, reason, "ask for fewer")
        })?;
        Ok(Self { threads })
    }

    /// Number of threads.
    pub fn len(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// False: a pool has a thread.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Results of `work` on every item, in the order of the items.
    pub fn map<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
        self.threads.install(|| items.par_iter().map(work).collect())
    }

    /// Results of `a` and `b`, computed at once where there are threads to spare.
    pub fn join<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        self.threads.join(a, b)
    }

    /// Runs `work` on every item in place.
    pub fn each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync + Send) {
        self.threads.install(|| items.par_iter_mut().for_each(work));
    }

    /// One workspace per thread for `program`.
    pub fn workspaces(&self, program: &Program) -> Vec<Mutex<Workspace>> {
        (0..self.len()).map(|_| Mutex::new(Workspace::new(program))).collect()
    }

    /// Results of `work(workspace, chunk)` for chunks 0 to `chunks`, in the order of the chunks.
    pub fn run<R: Send>(
        &self,
        workspaces: &[Mutex<Workspace>],
        chunks: usize,
        work: impl Fn(&mut Workspace, usize) -> R + Sync,
    ) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let done = self.threads.broadcast(|context| {
            let mut mine = Vec::new();
            let mut workspace = workspaces[context.index()].lock().unwrap_or_else(|e| e.into_inner());
            loop {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                if chunk >= chunks {
                    return mine;
                }
                mine.push((chunk, work(&mut workspace, chunk)));
            }
        });
        let mut all: Vec<(usize, R)> = done.into_iter().flatten().collect();
        all.sort_by_key(|(chunk, _)| *chunk);
        all.into_iter().map(|(_, r)| r).collect()
    }
}
