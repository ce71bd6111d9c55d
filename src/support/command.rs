//! Command lines, run by a shell to their end or to a limit of time.
//!
//! Takes: a line, a file for its standard input. Gives: its exit status and its output. Never: leaves a process behind that it
//! started, if that stayed in its group.

use process_wrap::std::CommandWrap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes of an output that are kept, from its end.
const KEPT: u64 = 1 << 16;

/// What became of a command.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; none where its time was over.
    pub status: Option<ExitStatus>,
    /// The end of its standard output.
    pub stdout: String,
    /// The end of its standard error.
    pub stderr: String,
}

/// Runs a line in a shell, with `input` on its standard input. After `limit` it is killed, with all that it started.
pub fn run(line: &str, input: File, limit: Duration) -> io::Result<Ended> {
    // Files, not pipes: a process that was left over could hold a pipe open for ever.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let (out, err) = (stdout.try_clone()?, stderr.try_clone()?);
    let mut command = CommandWrap::from(shell(line));
    command.command_mut().stdin(Stdio::from(input)).stdout(Stdio::from(out)).stderr(Stdio::from(err));
    #[cfg(unix)]
    command.wrap(process_wrap::std::ProcessGroup::leader());
    let (started, mut child) = (Instant::now(), command.spawn()?);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(PAUSE),
            over => {
                child.kill()?;
                over?;
                break None;
            }
        }
    };
    Ok(Ended { status, stdout: end_of(&mut stdout)?, stderr: end_of(&mut stderr)? })
}

#[cfg(unix)]
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

#[cfg(windows)]
fn shell(line: &str) -> Command {
    use std::os::windows::process::CommandExt;
    let mut command = Command::new("cmd");
    command.arg("/C").raw_arg(line);
    command
}

/// A path as one word of a shell's line.
pub fn word(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| io::Error::other("the path is no text"))?;
    shlex::try_quote(text).map(|word| word.into_owned()).map_err(io::Error::other)
}

fn end_of(file: &mut File) -> io::Result<String> {
    let length = file.seek(io::SeekFrom::End(0))?;
    file.seek(io::SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut bytes = Vec::new();
    file.take(KEPT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn run_line(line: &str, limit: f64) -> Ended {
        run(line, File::open("/dev/null").unwrap(), Duration::from_secs_f64(limit)).unwrap()
    }

    #[test]
    fn a_command_gives_its_output_and_its_status() {
        let ended = run_line("echo 12; echo oh >&2; exit 3", 60.0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("12\n", "oh\n"));
        assert_eq!(ended.status.and_then(|s| s.code()), Some(3));
    }

    #[test]
    fn standard_input_is_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"seven").unwrap();
        file.rewind().unwrap();
        assert_eq!(run("cat", file, Duration::from_secs(60)).unwrap().stdout, "seven");
    }

    /// Also what it started, which holds its output open.
    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let ended = run_line("sleep 1000 & echo $!; wait", 0.5);
        assert!(ended.status.is_none());
        let child: i32 = ended.stdout.trim().parse().unwrap();
        let is_there = || {
            let line = format!("kill -0 {child}");
            run_line(&line, 60.0).status.is_some_and(|s| s.success())
        };
        // Whoever inherits it reaps it in its own time.
        let gone = (0..200).any(|_| {
            !is_there() || is_zombie(child) || {
                std::thread::sleep(PAUSE);
                false
            }
        });
        assert!(gone);
    }

    fn is_zombie(child: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.contains(") Z ")
    }

    #[test]
    fn a_path_stays_one_word() {
        let path = Path::new("/tmp/a b'c/$x.onnx");
        let line = format!("printf %s {}", word(path).unwrap());
        assert_eq!(run_line(&line, 60.0).stdout, "/tmp/a b'c/$x.onnx");
    }
}
