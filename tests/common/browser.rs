//! Chromium, as a person uses it: pages are opened, and buttons are clicked. (<https://www.w3.org/TR/webdriver/>)

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{TestEnv, has, skip};

/// How long a page may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser of its own, which comes to every host but this machine through the simulator's proxy. It ends when it is
/// dropped.
pub struct Chromium {
    driver: Child,
    port: u16,
    session: String,
}

impl Chromium {
    /// Starts one; `None` where there is none.
    pub fn start(env: &TestEnv) -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            if !has(program) {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        let mut command: Command = env.command("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        // It says which port it has, and says more later on, which must not wait for a reader.
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let told = lines.find_map(|line| {
            let line = line.unwrap();
            line.rsplit_once("started successfully on port ")
                .map(|(_, port)| port.trim_end_matches('.').to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        let mut chromium = Self { driver, port: told.unwrap().parse().unwrap(), session: String::new() };
        let profile = env.folder.path().join("chromium");
        let proxy = format!("--proxy-server={}", env.github.proxy());
        let data = format!("--user-data-dir={}", profile.display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &proxy,
            &data,
        ];
        // The simulator's CA is none of this machine's.
        let wanted = json!({"acceptInsecureCerts": true, "goog:chromeOptions": {"args": arguments}});
        let session = chromium.ask("POST", "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        chromium.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Some(chromium)
    }

    pub fn open(&self, address: &str) {
        self.ask_here("POST", "/url", &json!({"url": address}));
    }

    /// Opens one more tab, and turns to it. Gives the one before and the new one.
    pub fn open_tab(&self) -> (Value, Value) {
        let before = self.ask_here("GET", "/window", &Value::Null);
        let tab = self.ask_here("POST", "/window/new", &json!({"type": "tab"}))["handle"].clone();
        self.turn_to(&tab);
        (before, tab)
    }

    pub fn turn_to(&self, tab: &Value) {
        self.ask_here("POST", "/window", &json!({"handle": tab}));
    }

    pub fn address(&self) -> String {
        self.ask_here("GET", "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    /// What a person reads on the page.
    fn text(&self) -> String {
        let script = json!({"script": "return document.body ? document.body.innerText : ''", "args": []});
        // A page that is just left has nothing to read.
        let text = self.try_to_ask("POST", &format!("{}/execute/sync", self.session), &script);
        text.unwrap_or_default().as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a person reads this on the page.
    pub fn wait_for(&self, text: &str) {
        let began = Instant::now();
        while !self.text().contains(text) {
            assert!(began.elapsed() < PATIENCE, "{text:?} is not on {}: {}", self.address(), self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks on the button with this label, as soon as it is there.
    pub fn click(&self, label: &str) {
        let button = self.find(&format!("//button[normalize-space()='{label}']"));
        self.ask_here("POST", &format!("/element/{button}/click"), &json!({}));
    }

    /// Types into the only field that can be typed into, in the place of what is there.
    pub fn fill(&self, text: &str) {
        let field = self.find("//input[not(@type='hidden')]");
        self.ask_here("POST", &format!("/element/{field}/clear"), &json!({}));
        self.ask_here("POST", &format!("/element/{field}/value"), &json!({"text": text}));
    }

    fn find(&self, path: &str) -> String {
        let began = Instant::now();
        loop {
            let wanted = json!({"using": "xpath", "value": path});
            let found = self.try_to_ask("POST", &format!("{}/elements", self.session), &wanted);
            let found = found.unwrap_or_default();
            let first = found.get(0).and_then(Value::as_object).and_then(|element| element.values().next());
            if let Some(id) = first {
                return id.as_str().unwrap().to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "{path} is not on {}: {}", self.address(), self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask_here(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_to_ask(method, path, body).unwrap_or_else(|why| panic!("{method} {path} {body}: {why}"))
    }

    fn try_to_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (port, length) = (self.port, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        // The connection stays open after the answer.
        let mut answer = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            answer.read_line(&mut line).map(|_| line.trim().to_lowercase())
        };
        let status = line()?;
        let mut length = 0;
        loop {
            match line()? {
                end if end.is_empty() => break,
                header => {
                    let value = header.strip_prefix("content-length:");
                    length = value.map_or(length, |value| value.trim().parse().unwrap());
                }
            }
        }
        let mut text = vec![0; length];
        answer.read_exact(&mut text)?;
        let mut answer: Value = serde_json::from_slice(&text)?;
        match status.starts_with("http/1.1 200") {
            true => Ok(answer["value"].take()),
            false => Err(std::io::Error::other(answer.to_string())),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It ends the browser. A driver that is killed would leave it behind.
        let _ = self.try_to_ask("DELETE", &self.session, &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
