//! What the recorder wrote down, and what a power cut leaves at any point of it: each file as of its
//! last sync, each name as of the last sync of its directory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::nodes::Random;

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    op: u8,
    fd: i32,
    offset: u64,
    flags: u32,
    path: PathBuf,
    second: PathBuf,
    data: Vec<u8>,
}

/// A file or directory.
#[derive(Debug, Default)]
struct Node {
    is_dir: bool,
    /// On the device.
    synced: Vec<u8>,
    /// Not yet: bytes at a place, or a new length.
    pending: Vec<(u64, Option<Vec<u8>>)>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
}

/// The files below a directory, and what of them is on the device.
#[derive(Debug)]
pub(crate) struct Device {
    root: PathBuf,
    nodes: Vec<Node>,
    fds: HashMap<i32, usize>,
    /// What the process said.
    pub(crate) said: Vec<u8>,
}

/// Reads a trace; the last event may be cut.
pub(crate) fn read(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while let Some(event) = take_event(&mut rest) {
        events.push(event);
    }
    events
}

fn take_event(rest: &mut &[u8]) -> Option<Event> {
    let mut from = *rest;
    let op = take(&mut from, 1)?[0];
    let fd = i32::from_ne_bytes(take(&mut from, 4)?.try_into().ok()?);
    let offset = u64::from_ne_bytes(take(&mut from, 8)?.try_into().ok()?);
    let flags = u32::from_ne_bytes(take(&mut from, 4)?.try_into().ok()?);
    let mut parts = Vec::new();
    for _ in 0..3 {
        let length = u32::from_ne_bytes(take(&mut from, 4)?.try_into().ok()?);
        parts.push(take(&mut from, usize::try_from(length).ok()?)?.to_vec());
    }
    *rest = from;
    let data = parts.pop()?;
    let text = |bytes: Vec<u8>| PathBuf::from(String::from_utf8(bytes).unwrap());
    let second = text(parts.pop()?);
    let path = text(parts.pop()?);
    Some(Event {
        op,
        fd,
        offset,
        flags,
        path,
        second,
        data,
    })
}

fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(bytes)?;
    *from = rest;
    Some(taken)
}

impl Device {
    /// With an empty directory `root`.
    pub(crate) fn new(root: &Path) -> Self {
        let top = Node {
            is_dir: true,
            ..Node::default()
        };
        Self {
            root: root.to_owned(),
            nodes: vec![top],
            fds: HashMap::new(),
            said: Vec::new(),
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let inside = path.strip_prefix(&self.root).unwrap();
        inside.components().try_fold(0, |at, part| match part {
            Component::Normal(name) => self.nodes[at].names.get(Path::new(name)).copied(),
            _ => Some(at),
        })
    }

    fn make(&mut self, path: &Path, is_dir: bool) -> usize {
        self.nodes.push(Node {
            is_dir,
            ..Node::default()
        });
        let node = self.nodes.len() - 1;
        self.link(path, node);
        node
    }

    fn link(&mut self, path: &Path, node: usize) {
        let above = self.find(path.parent().unwrap()).unwrap();
        let name = PathBuf::from(path.file_name().unwrap());
        self.nodes[above].names.insert(name, node);
    }

    fn unlink(&mut self, path: &Path) -> Option<usize> {
        let above = self.find(path.parent().unwrap())?;
        self.nodes[above]
            .names
            .remove(Path::new(path.file_name().unwrap()))
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event.op {
            b'o' => {
                let node = self.find(&event.path);
                let is_dir = event.flags & 2 != 0;
                let node = node.unwrap_or_else(|| self.make(&event.path, is_dir));
                if event.flags & 1 != 0 {
                    self.nodes[node].pending.push((0, None));
                }
                self.fds.insert(event.fd, node);
            }
            b'm' => {
                self.make(&event.path, true);
            }
            b'u' => {
                self.unlink(&event.path);
            }
            b'r' => {
                let node = self.unlink(&event.path).unwrap();
                self.link(&event.second, node);
            }
            b's' => self.said.extend_from_slice(&event.data),
            b'c' => {
                self.fds.remove(&event.fd);
            }
            op => self.on_file(op, event),
        }
    }

    fn on_file(&mut self, op: u8, event: &Event) {
        let Some(&node) = self.fds.get(&event.fd) else {
            return;
        };
        let node = &mut self.nodes[node];
        match op {
            b'w' => node.pending.push((event.offset, Some(event.data.clone()))),
            b't' => node.pending.push((event.offset, None)),
            b'f' if node.is_dir => node.synced_names = node.names.clone(),
            b'f' => {
                let pending = std::mem::take(&mut node.pending);
                pending
                    .iter()
                    .for_each(|change| change_bytes(&mut node.synced, change));
            }
            other => panic!("what is {other}?"),
        }
    }

    /// Makes what a power cut would leave. With `some`, it may have come later to any of what was
    /// written and not synced.
    pub(crate) fn leave(&self, to: &Path, some: Option<&mut Random>) {
        let mut some = some;
        self.leave_node(0, to, &mut some);
    }

    fn leave_node(&self, node: usize, to: &Path, some: &mut Option<&mut Random>) {
        let node = &self.nodes[node];
        if node.is_dir {
            fs::create_dir_all(to).unwrap();
            for (name, below) in &node.synced_names {
                self.leave_node(*below, &to.join(name), some);
            }
            return;
        }
        let mut bytes = node.synced.clone();
        for change in &node.pending {
            if some.as_mut().is_some_and(|random| random.below(2) == 0) {
                change_bytes(&mut bytes, change);
            }
        }
        fs::write(to, bytes).unwrap();
    }
}

fn change_bytes(bytes: &mut Vec<u8>, (at, what): &(u64, Option<Vec<u8>>)) {
    let at = usize::try_from(*at).unwrap();
    match what {
        None => bytes.resize(at, 0),
        Some(new) => {
            let end = at + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(new);
        }
    }
}
