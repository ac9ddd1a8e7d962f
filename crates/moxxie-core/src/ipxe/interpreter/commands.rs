//! The commands, and the loop that runs them.

use super::lines::{Line, is_script, split};
use super::options::{Known, Parsed, number, parse};
use super::words::{When, commands, expand};
use super::{Booted, Choice, Client, Outcome, Reply, ShownItem, ShownMenu, Trace, World};
use std::collections::BTreeMap;

/// Error numbers, as the 2019 build shows them where they were seen.
const NOT_FOUND_COMMAND: u32 = 0x2e02_2001;
const NO_SUCH: u32 = 0x2d02_2001;
const USAGE: u32 = 0x1c02_2001;
const DIFFERENT: u32 = 0x4602_2001;
const CANCELED: u32 = 0x0b02_2001;
const NOT_EXECUTABLE: u32 = 0x2e00_8001;
/// ETIMEDOUT, as a DHCP without answers ends.
const NO_ANSWER: u32 = 0x4c10_6035;
const NO_DISK: u32 = 0x2c22_2001;

/// What a command leads to.
enum Next {
    /// Status 0 is success.
    Status(u32),
    /// `goto`: stop this line, go on there.
    Jump(usize),
    /// Stop the script with this result.
    Stop(Outcome),
    /// Stop the script and run this one in its place.
    Replace(Vec<u8>),
}

const OK: Next = Next::Status(0);

struct Image {
    name: String,
    url: String,
    args: Vec<String>,
    reply: Reply,
}

pub(super) struct Machine<'a, W> {
    client: &'a Client,
    world: &'a mut W,
    settings: BTreeMap<String, String>,
    images: Vec<Image>,
    selected: Option<String>,
    menu: Option<ShownMenu>,
    depth: usize,
    trace: Trace,
}

impl<'a, W: World> Machine<'a, W> {
    pub fn new(client: &'a Client, world: &'a mut W) -> Machine<'a, W> {
        let trace = Trace {
            commands: Vec::new(),
            output: Vec::new(),
            fetched: Vec::new(),
            menus: Vec::new(),
            slept: 0,
            images: Vec::new(),
            settings: BTreeMap::new(),
            outcome: Outcome::RanOffEnd,
        };
        let settings = client.settings.clone();
        Machine { client, world, settings, images: Vec::new(), selected: None, menu: None, depth: 0, trace }
    }

    pub fn run(mut self, script: &[u8]) -> Trace {
        // The script is itself a registered image: one that forgets `imgfree` boots with its own
        // text in front of the initrd.
        let reply = Reply::Body(script.to_vec());
        self.images.push(Image { name: "script".into(), url: "script".into(), args: Vec::new(), reply });
        self.trace.outcome = self.script(script.to_vec());
        self.trace.images = self.images.into_iter().map(|i| i.name).collect();
        self.trace.settings = self.settings;
        self.trace
    }

    /// `process_script`, and the tail call of `chain --replace` (image_exec in image.c).
    fn script(&mut self, mut data: Vec<u8>) -> Outcome {
        'script: loop {
            if !is_script(&data) {
                return Outcome::NotAScript;
            }
            let lines = split(&data);
            let mut at = 0;
            while let Some(line) = lines.get(at) {
                at += 1;
                match self.line(line, &lines) {
                    Ok(Next::Status(_)) => {}
                    Ok(Next::Jump(to)) => at = to,
                    Ok(Next::Stop(outcome)) | Err(outcome) => return outcome,
                    Ok(Next::Replace(next)) => {
                        data = next;
                        continue 'script;
                    }
                }
            }
            return Outcome::RanOffEnd;
        }
    }

    /// `system` in exec.c. A failure that no operator took up ends the script.
    fn line(&mut self, line: &Line, lines: &[Line]) -> Result<Next, Outcome> {
        let mut status = 0;
        let mut last: Vec<String> = Vec::new();
        for (when, words) in commands(&line.command) {
            let wanted = match when {
                When::Always => true,
                When::AfterSuccess => status == 0,
                When::AfterFailure => status != 0,
            };
            if !wanted {
                continue;
            }
            let words: Option<Vec<String>> = words.iter().map(|w| expand(w, &self.settings)).collect();
            let Some(words) = words else { return Err(Outcome::StepLimit) };
            if words.is_empty() {
                // An empty command does nothing, successfully.
                status = 0;
                continue;
            }
            if self.trace.commands.len() >= self.client.steps {
                return Err(Outcome::StepLimit);
            }
            self.trace.commands.push(words.clone());
            match self.command(&words, lines) {
                Next::Status(code) => status = code,
                other => return Ok(other),
            }
            if status != 0 {
                self.settings.insert("errno".into(), format!("{status:#x}"));
            }
            last = words;
        }
        if status == 0 { Ok(OK) } else { Err(Outcome::Failed { command: last, errno: status }) }
    }

    fn command(&mut self, words: &[String], lines: &[Line]) -> Next {
        let Some((name, args)) = words.split_first() else { return OK };
        if self.client.missing.contains(name) {
            return Next::Status(NOT_FOUND_COMMAND);
        }
        const NONE: &[Known] = &[];
        const ALL: usize = usize::MAX;
        const FETCH: &[Known] = &[("name", 'n', true), ("timeout", 't', true), ("autofree", 'a', false)];
        const EXEC: &[Known] =
            &[("name", 'n', true), ("timeout", 't', true), ("autofree", 'a', false), ("replace", 'r', false)];
        let (known, min, max): (&[Known], usize, usize) = match name.as_str() {
            "echo" => (&[("n", 'n', false)], 0, ALL),
            "set" => (NONE, 1, ALL),
            "clear" | "isset" | "goto" | "sleep" => (NONE, 1, 1),
            "dhcp" => (NONE, 0, ALL),
            "iseq" => (NONE, 2, 2),
            "inc" => (NONE, 1, 2),
            "exit" => (NONE, 0, 1),
            "shell" => (NONE, 0, 0),
            "cpuid" => (&[("ext", 'e', false), ("ecx", 'c', false)], 1, 1),
            "menu" => (&[("name", 'n', true), ("delete", 'd', false)], 0, ALL),
            "item" => (
                &[("menu", 'm', true), ("key", 'k', true), ("default", 'd', false), ("gap", 'g', false)],
                0,
                ALL,
            ),
            "choose" => (
                &[("menu", 'm', true), ("default", 'd', true), ("timeout", 't', true), ("keep", 'k', false)],
                1,
                1,
            ),
            "imgfree" => (NONE, 0, ALL),
            "imgfetch" | "initrd" | "module" | "kernel" | "imgselect" => (FETCH, 1, ALL),
            "chain" | "imgexec" | "boot" => (EXEC, 0, ALL),
            "sanboot" => (
                &[
                    ("drive", 'd', true),
                    ("no-describe", 'n', false),
                    ("keep", 'k', false),
                    ("filename", 'f', true),
                ],
                0,
                ALL,
            ),
            _ => return Next::Status(NOT_FOUND_COMMAND),
        };
        let Some(parsed) = parse(args, known, min, max) else { return Next::Status(USAGE) };
        self.parsed(name, parsed, lines)
    }

    fn parsed(&mut self, name: &str, p: Parsed, lines: &[Line]) -> Next {
        let word = |n: usize| p.words.get(n).map_or("", String::as_str);
        match name {
            "echo" => self.trace.output.push(p.words.join(" ")),
            "set" => {
                let value = p.words.get(1..).unwrap_or_default().join(" ");
                self.settings.insert(word(0).into(), value);
            }
            "clear" => {
                self.settings.remove(word(0));
            }
            "isset" => return Next::Status(if word(0).is_empty() { NO_SUCH } else { 0 }),
            "dhcp" => match self.world.dhcp() {
                true => {
                    self.settings.entry("ip".into()).or_insert_with(|| "10.0.2.15".into());
                    let opened = self.settings.get("mac").cloned().unwrap_or_default();
                    self.settings.entry("netX/mac".into()).or_insert(opened);
                }
                false => return Next::Status(NO_ANSWER),
            },
            "iseq" => return Next::Status(if word(0) == word(1) { 0 } else { DIFFERENT }),
            "inc" => {
                let Some(by) = p.words.get(1).map_or(Some(1), |w| number(w)) else {
                    return Next::Status(USAGE);
                };
                let old = self.settings.get(word(0)).and_then(|v| number(v)).unwrap_or(0);
                self.settings.insert(word(0).into(), old.wrapping_add(by).to_string());
            }
            "goto" => {
                let found = lines.iter().position(|l| l.label.as_deref() == Some(word(0).as_bytes()));
                return found.map_or(Next::Status(NO_SUCH), Next::Jump);
            }
            "sleep" => match number(word(0)) {
                Some(seconds) => self.trace.slept += u64::from(seconds),
                None => return Next::Status(USAGE),
            },
            "exit" => {
                return match p.words.first().map_or(Some(0), |w| number(w)) {
                    Some(code) => Next::Stop(Outcome::Exit(code)),
                    None => Next::Status(USAGE),
                };
            }
            "shell" => return Next::Stop(Outcome::Shell),
            "cpuid" => return Next::Status(if self.client.long_mode { 0 } else { NO_SUCH }),
            "menu" => self.menu = Some(ShownMenu { title: p.words.join(" "), ..ShownMenu::default() }),
            "item" => return self.item(&p),
            "choose" => return self.choose(&p),
            "imgfree" => return self.free(&p.words),
            "imgfetch" | "initrd" | "module" => {
                return Next::Status(self.acquire(&p, false).err().unwrap_or(0));
            }
            "kernel" | "imgselect" => {
                return match self.acquire(&p, true) {
                    Err(errno) => Next::Status(errno),
                    Ok(n) if matches!(self.images[n].reply, Reply::Garbage) => Next::Status(NOT_EXECUTABLE),
                    Ok(n) => {
                        self.selected = Some(self.images[n].name.clone());
                        OK
                    }
                };
            }
            "sanboot" => {
                let Some(drive) = p.get('d').map_or(Some(0x80), number) else { return Next::Status(USAGE) };
                return if self.world.disk_boots(drive) {
                    Next::Stop(Outcome::Sanboot(drive))
                } else {
                    Next::Status(NO_DISK)
                };
            }
            _ => return self.execute(&p),
        }
        OK
    }

    fn item(&mut self, p: &Parsed) -> Next {
        let Some(menu) = &mut self.menu else { return Next::Status(NO_SUCH) };
        let mut words = p.words.iter();
        let label = if p.has('g') { None } else { words.next().cloned() };
        let text = words.map(String::as_str).collect::<Vec<_>>().join(" ");
        // parse_key: one character stands for itself, more are a number.
        let key = match p.get('k') {
            Some(k) if k.chars().count() == 1 => k.chars().next(),
            Some(k) => match number(k).and_then(char::from_u32) {
                Some(key) => Some(key),
                None => return Next::Status(USAGE),
            },
            None => None,
        };
        menu.items.push(ShownItem { label, text, key, default: p.has('d') });
        OK
    }

    fn choose(&mut self, p: &Parsed) -> Next {
        let Some(timeout_ms) = p.get('t').map_or(Some(0), number) else { return Next::Status(USAGE) };
        let Some(mut menu) = self.menu.take() else { return Next::Status(NO_SUCH) };
        menu.timeout_ms = timeout_ms;
        self.trace.menus.push(menu.clone());
        let labels = || menu.items.iter().filter(|i| i.label.is_some());
        let named = |label: &str| labels().find(|i| i.label.as_deref() == Some(label));
        let chosen = match self.world.choose(&menu) {
            Choice::Cancel => return Next::Status(CANCELED),
            Choice::TimeOut if timeout_ms == 0 => return Next::Stop(Outcome::WaitsForever),
            Choice::TimeOut => p
                .get('d')
                .and_then(named)
                .or_else(|| labels().find(|i| i.default))
                .or_else(|| labels().next()),
            Choice::Pick(label) => named(&label),
            Choice::Key(key) => labels().find(|i| i.key == Some(key)),
        };
        match chosen.and_then(|i| i.label.clone()) {
            Some(label) => {
                self.settings.insert(p.words.first().cloned().unwrap_or_default(), label);
                OK
            }
            None => Next::Status(NO_SUCH),
        }
    }

    fn free(&mut self, names: &[String]) -> Next {
        if names.is_empty() {
            self.images.clear();
        }
        for name in names {
            match self.images.iter().position(|i| i.name == *name) {
                Some(n) => drop(self.images.remove(n)),
                None => return Next::Status(NO_SUCH),
            }
        }
        let gone = self.selected.as_ref().is_some_and(|s| !self.images.iter().any(|i| i.name == *s));
        if gone {
            self.selected = None;
        }
        OK
    }

    /// Downloads and registers an image (imgmgmt.c); `reuse`: unless one of that name is there.
    fn acquire(&mut self, p: &Parsed, reuse: bool) -> Result<usize, u32> {
        let uri = p.words.first().ok_or(USAGE)?;
        let found = self.images.iter().position(|i| reuse && i.name == *uri);
        let n = match found {
            Some(n) => n,
            None => {
                self.trace.fetched.push(uri.clone());
                let reply = self.world.fetch(uri);
                if let Reply::Failed(errno) = reply {
                    return Err(errno);
                }
                let path = uri.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                self.images.push(Image { name, url: uri.clone(), args: Vec::new(), reply });
                self.images.len() - 1
            }
        };
        let image = &mut self.images[n];
        if let Some(name) = p.get('n') {
            image.name = name.to_owned();
        }
        if p.words.len() > 1 {
            image.args = p.words[1..].to_vec();
        }
        Ok(n)
    }

    /// `boot`, `chain`, `imgexec`: one command in iPXE (image_cmd.c).
    fn execute(&mut self, p: &Parsed) -> Next {
        let n = if p.words.is_empty() {
            self.images.iter().position(|i| Some(&i.name) == self.selected.as_ref()).ok_or(NO_SUCH)
        } else {
            self.acquire(p, true)
        };
        let n = match n {
            Ok(n) => n,
            Err(errno) => return Next::Status(errno),
        };
        let body = match &self.images[n].reply {
            Reply::Body(body) => body.clone(),
            _ => return Next::Status(NOT_EXECUTABLE),
        };
        if !is_script(&body) {
            return self.start(n);
        }
        let url = self.images[n].url.clone();
        if !self.client.follow {
            return Next::Stop(Outcome::Chain(url));
        }
        if p.has('a') {
            self.images.remove(n);
        }
        if p.has('r') {
            return Next::Replace(body);
        }
        // Without --replace the script below comes back here when it ends.
        self.depth += 1;
        let outcome = if self.depth > 16 { Outcome::StepLimit } else { self.script(body) };
        self.depth -= 1;
        match outcome {
            Outcome::RanOffEnd => OK,
            Outcome::Exit(code) => Next::Status(code),
            Outcome::Failed { errno, .. } => Next::Status(errno),
            last => Next::Stop(last),
        }
    }

    fn start(&mut self, n: usize) -> Next {
        let others = self.images.iter().enumerate().filter(|(m, _)| *m != n);
        let booted = Booted {
            kernel: self.images[n].url.clone(),
            name: self.images[n].name.clone(),
            args: self.images[n].args.clone(),
            initrds: others.map(|(_, i)| (i.name.clone(), i.url.clone())).collect(),
        };
        if self.world.starts(&booted) {
            Next::Stop(Outcome::Booted(booted))
        } else {
            Next::Status(NOT_EXECUTABLE)
        }
    }
}
