//! nginx as a reverse proxy: what operators have in mind when they say "as fast as a plain proxy".

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::procs::{self, Core, Running};

/// Where it is, beside the path of users, who have no `sbin` in theirs.
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];

/// The program, installed if that can be done without asking.
pub(crate) fn program() -> Option<PathBuf> {
    found().or_else(|| {
        let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        if root && procs::have("apt-get") {
            println!("installing nginx-light");
            let mut install = Command::new("timeout");
            install.args(["180", "apt-get", "install", "-y", "-qq", "nginx-light"]);
            install.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()).stderr(Stdio::null());
            let _ = install.status();
        }
        found()
    })
}

fn found() -> Option<PathBuf> {
    PLACES.into_iter().map(PathBuf::from).find(|place| place.is_file())
}

/// Its version, as it says it.
pub(crate) fn version() -> Option<String> {
    let told = Command::new(found()?).arg("-v").output().ok()?;
    Some(String::from_utf8_lossy(&told.stderr).trim().to_owned())
}

/// Starts it in front of the mock, if it can be had.
pub(crate) async fn start(folder: &Path, mock: SocketAddr) -> Option<(Running, SocketAddr)> {
    let program = program()?;
    let (folder, address) = (folder.join("nginx"), procs::free_address());
    fs::create_dir(&folder).unwrap();
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(address, mock)).unwrap();
    let mut command = procs::command(Core::Measured, &program);
    command.arg("-p").arg(&folder).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start(&mut command);
    procs::listening(address).await;
    Some((running, address))
}

/// One process, which is as good as a master with one worker and leaves no orphan; kept connections on both sides; no
/// log of requests; bodies in memory, and answers passed on as they come, or streams would wait.
fn configuration(address: SocketAddr, mock: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log warn; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    keepalive_timeout 600s; keepalive_requests 1000000000;
    client_max_body_size 32m; client_body_buffer_size 512k;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    upstream mock {{ server {mock}; keepalive 1024; keepalive_timeout 600s; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
