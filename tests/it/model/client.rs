//! Clients that pull, each in its own way, and have every answer judged.

use std::fmt::Write as _;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::judge::{Asked, Question};
use super::pool::{Id, Pool};
use super::random::Random;
use crate::server::Response;

/// Longer than any answer may be waited for.
const TRANSFER: Duration = Duration::from_secs(60);
/// What a slow client reads at once, and how long it rests then.
const SIP: (usize, Duration) = (64 << 10, Duration::from_millis(25));

/// How a client pulls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// It takes its time.
    pub(super) is_slow: bool,
    /// It goes away now and then before it has all.
    pub(super) is_fickle: bool,
    /// It uses a connection for one request only.
    pub(super) is_wasteful: bool,
}

/// One client.
pub(super) struct Client<'p> {
    pool: &'p Pool,
    server: SocketAddr,
    manner: Manner,
    random: Random,
    connection: Option<BufReader<Paced>>,
    /// What it is about to ask for, the last first.
    plan: Vec<Question>,
}

impl<'p> Client<'p> {
    pub(super) fn new(pool: &'p Pool, server: SocketAddr, manner: Manner, seed: u64) -> Self {
        Self {
            pool,
            server,
            manner,
            random: Random::new(seed),
            connection: None,
            plan: Vec::new(),
        }
    }

    /// Asks the next question; `None` if it went away before it had the answer.
    pub(super) fn ask(&mut self) -> Option<Asked> {
        let question = self.question();
        let is_head = self.random.happens(15);
        let is_leaving = self.manner.is_fickle && self.random.happens(20);
        let limit = is_leaving.then(|| self.random.below(600 << 10));
        let began = Instant::now();
        let answer = self.answer(&question, is_head, limit);
        let ended = Instant::now();
        let first = self
            .connection
            .as_ref()
            .and_then(|reader| reader.get_ref().first);
        let is_whole = answer.is_ok() && !self.manner.is_wasteful;
        if !is_whole {
            self.connection = None;
        }
        if limit.is_some() && answer.is_err() {
            return None;
        }
        Some(Asked {
            question,
            is_head,
            began,
            answered: first.unwrap_or(ended),
            ended,
            answer,
        })
    }

    /// Has whatever a manifest refers to be asked for next, as a pull does.
    pub(super) fn follow(&mut self, asked: &Asked) {
        let (Question::Tag(repository, _) | Question::Manifest(repository, _)) = asked.question
        else {
            return;
        };
        let Ok(answer) = &asked.answer else { return };
        if asked.is_head || answer.status != 200 || self.plan.len() > 8 {
            return;
        }
        let json = answer.json();
        let lists =
            ["layers", "manifests"].map(|key| json[key].as_array().cloned().unwrap_or_default());
        let descriptors = lists.concat().into_iter().chain([json["config"].clone()]);
        let ids: Vec<Id> = descriptors
            .filter_map(|descriptor| self.pool.id(descriptor["digest"].as_str()?))
            .collect();
        for id in ids {
            let question = self.about(repository, id);
            self.plan.push(question);
        }
    }

    fn question(&mut self) -> Question {
        if let Some(next) = self.plan.pop() {
            return next;
        }
        let repositories: Vec<_> = self.pool.repositories().into_iter().collect();
        let repository = *self.random.pick(&repositories);
        match self.random.below(10) {
            0 => Question::Catalog,
            1 | 2 => Question::Tags(repository),
            3..=6 => {
                let tags: Vec<_> = self.pool.tags(repository).into_iter().collect();
                let tag = self.random.pick(&tags);
                Question::Tag(repository, tag)
            }
            _ => {
                let ids: Vec<_> = self.pool.reach(repository).into_iter().collect();
                let id = *self.random.pick(&ids);
                self.about(repository, id)
            }
        }
    }

    fn about(&mut self, repository: &'static str, id: Id) -> Question {
        if self.pool.manifests.contains(&id) {
            return Question::Manifest(repository, id);
        }
        let range = self.random.happens(30).then(|| self.part(id));
        Question::Blob(repository, id, range)
    }

    /// Some bytes of a blob, but not all.
    fn part(&mut self, id: Id) -> Range<usize> {
        let length = self.pool.blobs[id].bytes.len();
        let start = self.random.below(length - 1);
        let end = start + 1 + self.random.below((length - start - 1).max(1));
        if end - start == length {
            start + 1..end
        } else {
            start..end
        }
    }

    fn answer(
        &mut self,
        question: &Question,
        is_head: bool,
        limit: Option<usize>,
    ) -> io::Result<Response> {
        let method = if is_head { "HEAD" } else { "GET" };
        let mut head = format!(
            "{method} {} HTTP/1.1\r\nHost: model\r\n",
            self.path(question)
        );
        if let Question::Blob(_, _, Some(range)) = question {
            let _ = write!(head, "Range: bytes={}-{}\r\n", range.start, range.end - 1);
        }
        if self.manner.is_wasteful {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        let is_reused = self.connection.is_some();
        match self.exchange(&head, method, limit) {
            // A connection may have ended since the last answer.
            Err(_) if is_reused && self.has_nothing() => {
                self.connection = None;
                self.exchange(&head, method, limit)
            }
            answer => answer,
        }
    }

    fn exchange(&mut self, head: &str, method: &str, limit: Option<usize>) -> io::Result<Response> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&self.server, TRANSFER)?;
            stream.set_read_timeout(Some(TRANSFER))?;
            stream.set_write_timeout(Some(TRANSFER))?;
            stream.set_nodelay(true)?;
            self.connection = Some(BufReader::with_capacity(
                SIP.0,
                Paced::new(stream, self.manner.is_slow),
            ));
        }
        let reader = self.connection.as_mut().expect("just made");
        reader.get_mut().begin(limit);
        reader.get_mut().stream.write_all(head.as_bytes())?;
        Response::read(reader, method)
    }

    fn has_nothing(&self) -> bool {
        let reader = self.connection.as_ref();
        reader.is_some_and(|reader| reader.get_ref().first.is_none())
    }

    fn path(&self, question: &Question) -> String {
        let digest = |id: &Id| &self.pool.blobs[*id].digest;
        match question {
            Question::Tag(name, tag) => format!("/v2/{name}/manifests/{tag}"),
            Question::Manifest(name, id) => format!("/v2/{name}/manifests/{}", digest(id)),
            Question::Blob(name, id, _) => format!("/v2/{name}/blobs/{}", digest(id)),
            Question::Tags(name) => format!("/v2/{name}/tags/list"),
            Question::Catalog => "/v2/_catalog".to_owned(),
        }
    }
}

/// A connection that is read fast or slowly, and notes when an answer begins.
struct Paced {
    stream: TcpStream,
    is_slow: bool,
    first: Option<Instant>,
    /// After so many bytes of the answer nobody wants more.
    limit: Option<usize>,
}

impl Paced {
    fn new(stream: TcpStream, is_slow: bool) -> Self {
        Self {
            stream,
            is_slow,
            first: None,
            limit: None,
        }
    }

    fn begin(&mut self, limit: Option<usize>) {
        (self.first, self.limit) = (None, limit);
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (sip, pause) = SIP;
        let most = if self.is_slow {
            buffer.len().min(sip)
        } else {
            buffer.len()
        };
        let read = self.stream.read(&mut buffer[..most])?;
        if self.first.is_some() && self.is_slow {
            thread::sleep(pause);
        }
        self.first.get_or_insert_with(Instant::now);
        if let Some(left) = &mut self.limit {
            *left = left.checked_sub(read).ok_or(ErrorKind::Other)?;
        }
        Ok(read)
    }
}
