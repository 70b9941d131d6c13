/**
 * What test servers would leave behind when the process that started them is killed: a small shell process waits at a pipe, and when
 * that closes, ends the servers that are still noted and removes their folders.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

// Lines: `+p PID`, `-p PID`, `+f FOLDER`, `-f FOLDER`; names of folders are mkdtemp's, without blanks.
const SCRIPT = `trap '' INT TERM HUP
notes=' '
while read -r sign what; do
  case $sign in
    +*) notes="$notes\${sign#+}:$what " ;;
    -*) notes="\${notes%%" \${sign#-}:$what "*} \${notes#*" \${sign#-}:$what "}" ;;
  esac
done
for note in $notes; do case $note in p:*) kill -9 "\${note#p:}" 2>/dev/null ;; esac; done
for note in $notes; do case $note in f:*) rm -rf "\${note#f:}" ;; esac; done`;

let reaper: ChildProcess | undefined;

function tell(line: string): void {
  if (reaper === undefined) {
    // A session of its own: a Ctrl-C at the terminal reaches the test, not the reaper.
    reaper = spawn('sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    reaper.unref();
    (reaper.stdin as Socket).unref();
  }
  reaper.stdin?.write(`${line}\n`);
}

export const leftovers = {
  noteProcess: (pid: number): void => tell(`+p ${pid}`),
  forgetProcess: (pid: number): void => tell(`-p ${pid}`),
  noteFolder: (path: string): void => tell(`+f ${path}`),
  forgetFolder: (path: string): void => tell(`-f ${path}`),
};
