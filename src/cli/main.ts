/** The command line: one file per command beside this one. Exit codes: exit-codes.ts. */
import { Command, CommanderError } from 'commander';
import { addBench } from './bench.ts';
import { addConsume } from './consume.ts';
import { addDemo } from './demo.ts';
import { addDoctor } from './doctor.ts';
import { EXIT } from './exit-codes.ts';
import { addLb } from './lb.ts';
import { addPublish } from './publish.ts';
import { addStatus } from './status.ts';
import { addSwitchover } from './switchover.ts';
import { addTail } from './tail.ts';
import { printError } from './terminal.ts';
import { addTopics } from './topics.ts';
import { addUp } from './up.ts';
import { VERSION } from './version.ts';

function program(): Command {
  const tandem = new Command('tandem')
    .description('High-availability data backbone: durable ingest, async consumers and real-time push in one package.')
    .version(VERSION)
    .showHelpAfterError('(--help shows the options)')
    .exitOverride();
  for (const add of [
    addUp,
    addDemo,
    addStatus,
    addTopics,
    addPublish,
    addTail,
    addConsume,
    addDoctor,
    addSwitchover,
    addLb,
    addBench,
  ])
    add(tandem);
  for (const command of tandem.commands) for (const each of [command, ...command.commands]) each.exitOverride();
  return tandem;
}

/** A reader that went away (`tandem tail … | head`) is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

try {
  await program().parseAsync();
} catch (error) {
  // Commander has printed what it has to say: help and version end with 0, wrong usage does not.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  else {
    printError(error, false);
    process.exitCode = EXIT.failed;
  }
}
