//! A child process that cannot outlive us: killed when its handle is dropped, ended by the kernel when we die.
//! Does not know what the child does.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread::JoinHandle;

use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};

/// Where Debian's util-linux, which every Debian has, puts it.
const SETPRIV: &str = "/usr/bin/setpriv";

/// Orders that may wait for the keeper. One of each is all that makes sense.
const ORDERS_MAX: usize = 4;

/// What to run and where its streams go.
#[derive(Debug)]
pub struct Run {
    /// The program.
    pub binary: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where it reads.
    pub input: Stdio,
    /// Where it writes.
    pub output: Stdio,
    /// Where it complains.
    pub errors: Stdio,
}

/// A running or ended child. Dropping it kills the child and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    ended: watch::Receiver<Option<ExitStatus>>,
    orders: Option<mpsc::Sender<Order>>,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Terminate,
    Kill,
}

impl Process {
    /// Starts the child in its own process group, so that a Ctrl-C in the terminal reaches only us.
    ///
    /// The kernel ends the child when the *thread* that started it ends, not the process, so a thread of its own
    /// starts the child and stays until it has been reaped.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn spawn(run: Run) -> io::Result<Self> {
        let (started, pid) = oneshot::channel();
        let (publish, ended) = watch::channel(None);
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let keeper = std::thread::Builder::new()
            .name("server-keeper".to_owned())
            .spawn(move || runtime.block_on(keep(run, started, inbox, publish)))?;
        let pid = pid.await.map_err(|_| io::Error::other("the thread that starts the server ended"))??;
        Ok(Self { pid, ended, orders: Some(orders), keeper: Some(keeper) })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks the child to end (SIGTERM). Nothing happens if it has ended.
    pub fn terminate(&self) {
        self.order(Order::Terminate);
    }

    /// Ends the child (SIGKILL). Nothing happens if it has ended.
    pub fn kill(&self) {
        self.order(Order::Kill);
    }

    /// How it ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Resolves once the child has ended and been reaped; `None` if that could not be observed.
    pub fn ended(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<> {
        let mut ended = self.ended.clone();
        async move { ended.wait_for(Option::is_some).await.ok().and_then(|status| *status) }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Gone: the keeper has reaped its child. Full: the same orders are already waiting.
            let _gone_or_full = orders.try_send(order);
        }
    }
}

impl Drop for Process {
    /// Blocks for the few milliseconds that SIGKILL takes, so that the data directory can be removed next.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::warn!(pid = self.pid, "the thread that kept a server panicked");
        }
    }
}

/// Starts the child and carries out orders until it is gone. Only this thread reaps it, so its pid stays its own.
async fn keep(
    run: Run,
    started: oneshot::Sender<io::Result<u32>>,
    mut inbox: mpsc::Receiver<Order>,
    publish: watch::Sender<Option<ExitStatus>>,
) {
    let (mut child, pid) = match spawn(run) {
        Ok(spawned) => spawned,
        Err(error) => {
            // If nobody waits for the answer any more, nobody wants the server either.
            let _nobody = started.send(Err(error));
            return;
        }
    };
    // Same here: the closed inbox below then kills the child.
    let _nobody = started.send(Ok(pid));
    loop {
        let order = tokio::select! {
            status = child.wait() => return end(pid, status, &publish),
            order = inbox.recv() => order,
        };
        match order {
            Some(Order::Terminate) => {
                if let Err(error) = terminate(pid).await {
                    tracing::warn!(pid, %error, "cannot send SIGTERM: killing instead");
                    kill(&mut child, pid);
                }
            }
            Some(Order::Kill) => kill(&mut child, pid),
            None => {
                kill(&mut child, pid);
                let status = child.wait().await;
                return end(pid, status, &publish);
            }
        }
    }
}

fn spawn(run: Run) -> io::Result<(Child, u32)> {
    let mut command = if Path::new(SETPRIV).exists() {
        // It asks the kernel for the signal and becomes the server: same pid, no process in between.
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "TERM", "--"]).arg(&run.binary);
        command
    } else {
        tracing::warn!("no {SETPRIV}: if this process is killed, the servers it started stay");
        Command::new(&run.binary)
    };
    command.args(run.arguments).stdin(run.input).stdout(run.output).stderr(run.errors);
    let child = command.process_group(0).kill_on_drop(true).spawn()?;
    let pid = child.id().ok_or_else(|| io::Error::other("a new child without a pid"))?;
    Ok((child, pid))
}

/// SIGTERM without unsafe code: the shell's own `kill`, which is there even where no `kill` program is.
async fn terminate(pid: u32) -> io::Result<()> {
    let status =
        Command::new("/bin/sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid.to_string()]).status().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill: {status}"))) }
}

fn kill(child: &mut Child, pid: u32) {
    if let Err(error) = child.start_kill() {
        tracing::debug!(pid, %error, "SIGKILL had nobody to reach");
    }
}

fn end(pid: u32, status: io::Result<ExitStatus>, publish: &watch::Sender<Option<ExitStatus>>) {
    match status {
        Ok(status) => {
            publish.send_replace(Some(status));
        }
        Err(error) => tracing::warn!(pid, %error, "cannot tell how a server ended"),
    }
}
