/**
 * Sees to it that no node outlives the demo, even if that is killed with -9 while a node is stopped and cannot notice. A shell waits for the end
 * of its input, which comes when this process is gone, and then kills the process groups that it was told of.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const SCRIPT = `
trap '' INT HUP TERM QUIT
groups=" "
while read -r what group; do
  case $what in
    watch) groups="$groups$group " ;;
    forget) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
`;

export class ProcessGuard {
  readonly #shell: ChildProcess;

  constructor() {
    // In a group of its own: Ctrl-C reaches all that is in the terminal's.
    this.#shell = spawn('sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    // Without it the nodes still end with this process, unless they are stopped at that moment.
    this.#shell.on('error', () => {});
    this.#shell.stdin?.on('error', () => {});
    this.#shell.unref();
    (this.#shell.stdin as { unref?: () => void } | null)?.unref?.();
  }

  watch(group: number): void {
    this.#shell.stdin?.write(`watch ${group}\n`);
  }

  /** Nothing of it is left. */
  forget(group: number): void {
    this.#shell.stdin?.write(`forget ${group}\n`);
  }
}
