//! What the agent and its children can reach when the manager's data is hidden from them.
//!
//! A hook of the clone is the child: it is run by Git, which the agent started.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::environment::Environment;
use super::git_server::GitServer;
use crate::control_plane::skipped;

#[tokio::test]
async fn hidden_directories_are_out_of_reach_and_the_volumes_are_not() {
    let server = GitServer::start(None).await;
    server.repository("checkout", &["main"]);
    let mut environment = Environment::new();
    // As the local runtime has it: the root and the volumes lie in the data directory that is hidden.
    let data = environment.directory().join("data");
    let root = environment.root();
    for volume in ["workspace", "config"] {
        let target = data.join("volumes").join(volume);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(root.join(volume), &target).unwrap();
        symlink(&target, root.join(volume)).unwrap();
    }
    fs::write(data.join("age.key"), "the manager's own").unwrap();
    fs::create_dir_all(data.join("volumes/neighbour")).unwrap();
    fs::write(data.join("volumes/neighbour/file"), "another project's").unwrap();
    // A way around that somebody may have left: beside the data, and in a volume.
    symlink(&data, environment.directory().join("around")).unwrap();
    symlink(data.join("age.key"), data.join("volumes/workspace/key")).unwrap();
    let outside = unshared_file();
    if outside.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED: that an agent cannot write files of its user. The clone, the target directory and HOME all lie \
             where every program may write ({SHARED:?}); set CARGO_TARGET_DIR to a directory elsewhere to test it."
        );
    }

    let template = root.join("config/template/hooks");
    fs::create_dir_all(&template).unwrap();
    let hook = template.join("post-checkout");
    let try_all = format!(
        "#!/bin/sh\nexec > {config}/result 2>&1\n\
         try() {{ name=$1; shift; if \"$@\" > /dev/null 2>&1; then echo \"$name yes\"; else echo \"$name no\"; fi; }}\n\
         try key cat {data}/age.key\ntry list ls {data}\ntry around cat {dir}/around/age.key\n\
         try link cat {config}/../workspace/key\ntry neighbour cat {data}/volumes/neighbour/file\n\
         try neighbours ls {data}/volumes\ntry environ cat /proc/{pid}/environ\ntry signal kill -0 {pid}\n\
         {outside}\
         try root-write touch {root}/new\ntry own-secrets ls {root}/etc/claude-manager/agent-keys\n\
         try secrets-write touch {root}/etc/claude-manager/agent-keys/new\n\
         try workspace touch {root}/workspace/new\ntry config touch {root}/config/new\ntry tmp touch {root}/tmp/new\n\
         try null sh -c 'echo x > /dev/null'\ntry program /bin/true\n",
        config = root.join("config").display(),
        data = data.display(),
        dir = environment.directory().display(),
        outside = outside.as_ref().map_or_else(String::new, |file| {
            let file = file.path().display();
            format!("try outside cat '{file}'\ntry outside-write sh -c \"echo x >> '{file}'\"\n")
        }),
        root = root.display(),
        pid = std::process::id(),
    );
    fs::write(&hook, try_all).unwrap();
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let config = format!("[init]\n\ttemplateDir = {}\n", root.join("config/template").display());
    fs::write(root.join("config/.gitconfig"), config).unwrap();

    let volumes = ["workspace", "config"].map(|volume| fs::canonicalize(root.join(volume)).unwrap());
    let command = environment.launch(&data, &volumes, &[("GIT_REPOSITORY", &server.url("checkout"))]);
    environment.spawn(command);
    environment.until(|status| status["ready"] == true).await;

    if environment.log().contains("no Landlock") {
        return skipped("this kernel has no Landlock");
    }
    let result = fs::read_to_string(root.join("config/result")).unwrap();
    let outside = outside.map_or("", |_| "outside yes\noutside-write no\n");
    let expected = format!(
        "key no\nlist no\naround no\nlink no\nneighbour no\nneighbours no\nenviron no\nsignal no\n{outside}\
         root-write no\nown-secrets yes\nsecrets-write no\nworkspace yes\nconfig yes\ntmp yes\nnull yes\nprogram yes\n"
    );
    assert_eq!(result, expected, "{}", environment.log());
}

/// Where an agent may write whatever is hidden from it.
const SHARED: [&str; 4] = ["/tmp", "/var/tmp", "/dev", "/proc"];

/// A new file of this user that does not lie where every program may write; `None` when there is no place for one.
fn unshared_file() -> Option<tempfile::NamedTempFile> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let places = [Some(env!("CARGO_TARGET_TMPDIR").into()), Some(target), std::env::var_os("HOME").map(Into::into)];
    places.into_iter().flatten().find_map(|place: PathBuf| {
        let place = fs::canonicalize(place).ok()?;
        let is_shared = SHARED.iter().any(|shared| place.starts_with(shared));
        let file = if is_shared { None } else { tempfile::NamedTempFile::new_in(place).ok() }?;
        fs::write(&file, "of this user").ok()?;
        Some(file)
    })
}

#[tokio::test]
async fn what_cannot_be_hidden_is_an_error_and_not_left_open() {
    let environment = Environment::new();
    let directory = fs::canonicalize(environment.directory()).unwrap();
    let data = directory.join("data");
    fs::create_dir_all(&data).unwrap();
    // As an earlier version let an agent do in its own root.
    let link = directory.join("link");
    symlink(&data, &link).unwrap();
    for (hidden, volume, reason) in [
        (Path::new("/"), None, "everything cannot be hidden"),
        (Path::new("/there/is/nothing"), None, "No such file"),
        (&data, Some(&link), "by a link"),
        (&data, Some(&data), "has it inside"),
        (&data, Some(&directory), "has it inside"),
    ] {
        let volumes: Vec<PathBuf> = volume.into_iter().cloned().collect();
        let log = directory.join("said");
        let mut process =
            environment.launch(hidden, &volumes, &[]).stdout(File::create(&log).unwrap()).spawn().unwrap();
        let begun = Instant::now();
        let code = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status.code();
            }
            if begun.elapsed() > Duration::from_secs(20) {
                // It runs as if nothing was wrong.
                process.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!(code, Some(1), "{hidden:?} {volume:?}: {said}");
        assert!(said.contains("cannot be hidden") && said.contains(reason), "{hidden:?} {volume:?}: {said}");
    }
}
