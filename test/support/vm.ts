import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A Debian kernel that boots this machine's root file system under qemu; see vm-build.sh. */
export interface Vm {
  readonly folder: string;
  /** Kernel release, `6.1.0-…-amd64`. */
  readonly release: string;
}

export interface VmRun {
  /** Shell command, run as root in the guest. `shared` is at /run/vm. */
  readonly command: string;
  /** Host folder the guest may read and write; kernel.log ends up there. */
  readonly shared: string;
  readonly timeoutMs: number;
  /** What the command prints; the process's own stdout when left out. */
  readonly onOutput?: (chunk: Buffer) => void;
  readonly memoryMb?: number;
}

/** Finds or makes the VM (about half a minute the first time); throws with the script's own words. */
export function prepareVm(): Vm {
  const cache = process.env.PEERCAM_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'peercam');
  const script = new URL('vm-build.sh', import.meta.url).pathname;
  const folder = execFileSync(script, [join(cache, 'vm')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
  return { folder, release: readFileSync(join(folder, 'ready'), 'utf8').trim() };
}

/** Compiles an out-of-tree kernel module for the VM, once per state of its sources; returns the .ko. */
export function buildModule(vm: Vm, { sources, name }: { sources: string; name: string }): string {
  const hash = createHash('sha256');
  for (const file of readdirSync(sources).sort()) hash.update(file).update(readFileSync(join(sources, file)));
  const folder = join(vm.folder, `${name}-${hash.digest('hex').slice(0, 16)}`);
  const result = join(folder, `${name}.ko`);
  if (existsSync(result)) return result;
  const work = `${folder}.${process.pid}`;
  cpSync(sources, work, { recursive: true });
  const headers = join(vm.folder, 'headers/usr/src', `linux-headers-${vm.release}`);
  const make = spawnSync('make', ['-C', headers, `M=${work}`, 'modules'], { encoding: 'utf8' });
  if (make.status !== 0) {
    throw new Error(
      `compiling ${name} failed (packages: gcc make): ${make.error?.message ?? make.stdout + make.stderr}`,
    );
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
  return result;
}

/** Runs a command in a fresh guest; resolves with its exit status. Rejects when the guest dies or takes too long. */
export async function runInVm(vm: Vm, run: VmRun): Promise<number> {
  const { shared, timeoutMs, memoryMb = 2048 } = run;
  mkdirSync(shared, { recursive: true });
  rmSync(join(shared, 'status'), { force: true });
  writeFileSync(join(shared, 'command'), run.command);
  writeFileSync(join(shared, 'modules'), join(vm.folder, 'kernel/lib/modules'));
  // KVM is left alone even where /dev/kvm exists: in nested clouds it hangs, and speed is not the point.
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', String(memoryMb)],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...[
        '-kernel',
        join(vm.folder, 'kernel/boot', `vmlinuz-${vm.release}`),
        '-initrd',
        join(vm.folder, 'initramfs.gz'),
      ],
      ...['-append', 'console=ttyS0 quiet loglevel=5 panic=-1', '-serial', `file:${join(shared, 'kernel.log')}`],
      ...['-chardev', 'stdio,id=out,signal=off', '-device', 'virtio-serial-pci'],
      ...['-device', 'virtserialport,chardev=out,name=out'],
      ...['-virtfs', 'local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap'],
      ...['-virtfs', `local,path=${shared},mount_tag=shared,security_model=none`],
    ],
    // The input stays open: at its end qemu would take the guest's port for disconnected.
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  qemu.stdout.on('data', run.onOutput ?? ((chunk: Buffer) => process.stdout.write(chunk)));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    qemu.kill('SIGKILL');
  }, timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      qemu.once('error', (cause) =>
        reject(new Error('qemu-system-x86_64 does not start (package qemu-system-x86)', { cause })),
      );
      qemu.once('close', () => resolve());
    });
  } finally {
    clearTimeout(timer);
  }
  if (timedOut) throw new Error(`the guest took longer than ${timeoutMs} ms${kernelLogEnd(shared)}`);
  const status = join(shared, 'status');
  if (!existsSync(status)) throw new Error(`the guest died${kernelLogEnd(shared)}`);
  return Number(readFileSync(status, 'utf8'));
}

/** Lines in which the guest's kernel complains of itself: a use-after-free or a deadlock is not a passed test. */
export function kernelComplaints(shared: string): string[] {
  const log = readFileSync(join(shared, 'kernel.log'), 'utf8');
  return log.split('\n').filter((line) => /BUG:|WARNING:|Oops|general protection|blocked for more than/.test(line));
}

function kernelLogEnd(shared: string): string {
  const log = join(shared, 'kernel.log');
  if (!existsSync(log)) return '';
  return `; the end of its kernel log:\n${readFileSync(log, 'utf8').split('\n').slice(-20).join('\n')}`;
}
