// SPDX-License-Identifier: Apache-2.0
// The rest of the form for a new computer: what runs it, a machine's hardware, and what is under "More".
import { images, may, spaceNames } from '../lib/live.js';
import { bytes, cpus } from '../lib/format.js';
import { ACCELS, FIRMWARES, HARDWARES, KINDS, modelOf } from '../lib/kinds.js';
import { networkOf } from '../lib/spec.js';
import { Check, Field } from '../ui/parts.jsx';

const NAME = '[a-z]([a-z0-9\\-]{0,61}[a-z0-9])?';
const WHY = { iso: 'A disc installs a system on a machine’s empty disk, as on a new computer.', disk: 'A whole disk brings its own kernel, so it runs as a machine, on the hardware of a PC.', program: 'A program runs by itself in a sandbox: it sees its own folder, and the network only where you allow it.' };

/** What runs it. Where an image leaves no choice, one sentence says what it will be. */
export function KindPicker({ choice, kinds, kind, setKind }) {
  if (kinds.length < 2) return WHY[choice.format] ? <p class="soft">{WHY[choice.format]}</p> : null;
  return (
    <fieldset class="plain-set"><legend>Runs as</legend>
      <div class="presets two-wide">
        {kinds.map((k) => <button type="button" key={k} aria-pressed={k === kind} onClick={() => setKind(k)}><b>{KINDS[k].word}</b><span>{KINDS[k].text}</span></button>)}
      </div>
      <p class="hint">One image, one disk: you can change this later, with all files kept.</p>
    </fieldset>
  );
}

const Select = ({ label, hint, value, onChange, options }) => (
  <Field label={label} hint={hint}>{(ids) => <select {...ids} value={value} onChange={onChange}>{options.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>}</Field>
);

/** The machine's hardware. A lean machine (our kernel) has less to choose than a PC. */
export function MachineMore({ choice, hw, setHw, size }) {
  const pc = modelOf(choice) === 'pc';
  const disc = choice.format === 'iso';
  const set = (k) => (e) => setHw({ ...hw, [k]: e.currentTarget.type === 'checkbox' ? e.currentTarget.checked : e.currentTarget.value });
  const firmware = hw.firmware || choice.firmware || 'uefi';
  return (
    <details class="more">
      <summary>{pc ? 'Machine: processors, memory, firmware, disc' : 'Machine: processors, memory, accelerator'}</summary>
      <div class="more-body">
        <div class="two">
          <Field label="Processors" inputMode="decimal" placeholder={cpus(size.cpu)} value={hw.cpu} onInput={set('cpu')} hint="Empty is as the size above says." />
          <Field label="Memory" placeholder={bytes(size.memory)} value={hw.memory} onInput={set('memory')} hint="Like 3 GiB. A machine keeps it for itself." />
        </div>
        {pc && <Pc {...{ choice, hw, set, firmware, disc }} />}
        <Select label="Accelerator" value={hw.accel} onChange={set('accel')} options={ACCELS} hint="How its processors are run. KVM is many times faster." />
      </div>
    </details>
  );
}

function Pc({ choice, hw, set, firmware, disc }) {
  const discs = (images.value ?? []).filter((m) => m.format === 'iso');
  const inDrive = disc || hw.iso;
  return (
    <>
      <div class="two">
        <Select label="Firmware" value={firmware} onChange={set('firmware')} options={FIRMWARES} hint={choice.format === 'disk' ? 'A system starts with the firmware it was installed with.' : 'Systems of the last ten years know UEFI.'} />
        <Select label="Disk and network card" value={hw.hardware || choice.hardware || 'virtio'} onChange={set('hardware')} options={HARDWARES} hint="Windows without added drivers needs the emulated ones." />
      </div>
      <Check label="TPM 2.0" hint="A chip that keeps keys. Windows 11 asks for one." checked={hw.tpm} onChange={set('tpm')} />
      <Check label="Secure boot" hint={firmware === 'bios' ? 'Only with UEFI.' : 'Starts only systems that are signed.'} disabled={firmware === 'bios'} checked={hw.secure && firmware !== 'bios'} onChange={set('secure')} />
      {!disc && discs.length > 0 && <Select label="Disc in the drive" value={hw.iso} onChange={set('iso')} options={[['', 'none'], ...discs.map((m) => [m.names?.[0] ?? m.digest, m.names?.[0] ?? m.digest.slice(7, 19)])]} />}
      {inDrive && <Check label="Start from the disc" hint="Also when there is a system on its disk. From an empty disk it starts the disc anyway." checked={hw.boot} onChange={set('boot')} />}
      {!disc && <Field label="SSH keys" hint="Public ones, one a line: cloud-init in its system lets them in.">{(ids) => <textarea {...ids} rows="2" spellcheck={false} value={hw.keys} onInput={set('keys')} />}</Field>}
      {!disc && <Field label="For cloud-init" hint="User data for its system’s first start, like #cloud-config. It is never shown again.">{(ids) => <textarea {...ids} rows="4" spellcheck={false} value={hw.told} onInput={set('told')} />}</Field>}
    </>
  );
}

/** Name, space, and how its first program starts. */
export function More({ space, setSpace, name, setName, more, setMore, choice, kind }) {
  const set = (k) => (e) => setMore({ ...more, [k]: e.currentTarget.value });
  const init = more.init || choice?.init;
  const pc = kind === 'machine' && modelOf(choice) === 'pc';
  const program = kind === 'process';
  return (
    <div class="more-body">
      <div class="two">
        <Field label="Name" value={name} pattern={NAME} title="small letters, digits and dashes, beginning with a letter" spellcheck={false} autoCapitalize="none"
          hint="Others in the space reach it by this name." onInput={(e) => setName(e.currentTarget.value)} />
        <Field label="Space">{(ids) => <select {...ids} value={space} onChange={(e) => setSpace(e.currentTarget.value)}>{spaceNames.value.filter((s) => may(s, 'owner')).map((s) => <option key={s}>{s}</option>)}</select>}</Field>
      </div>
      {!pc && !program && <fieldset class="plain-set"><legend>What starts in it</legend>
        <div class="presets two-wide">
          <button type="button" aria-pressed={init !== 'app'} onClick={() => setMore({ ...more, init: 'system' })}><b>Whole system</b><span>Its own services, users and desktop; feels like a computer.</span></button>
          <button type="button" aria-pressed={init === 'app'} onClick={() => setMore({ ...more, init: 'app' })}><b>One command</b><span>Starts one command and ends with it; smallest and quickest.</span></button>
        </div>
      </fieldset>}
      {!pc && <Field label={program ? 'Arguments' : 'Command'} value={more.command} placeholder={program ? 'none' : init === 'app' ? 'the image’s own' : 'the system’s own start'} spellcheck={false} autoCapitalize="none" onInput={set('command')} hint={program ? 'What the program is told when it starts, as behind its name on a command line.' : 'What runs first. Leave it empty to use what the image says.'} />}
      <Check label="Network" hint={program ? 'A program has none unless you allow it here.' : 'Without it, nothing reaches it and it reaches nothing.'} checked={networkOf(kind, more)} onChange={(e) => setMore({ ...more, network: e.currentTarget.checked })} />
      <div class="two">
        {!pc && <Field label="Environment" hint="One NAME=value a line.">{(ids) => <textarea {...ids} rows="3" spellcheck={false} value={more.env} onInput={set('env')} />}</Field>}
        {networkOf(kind, more) && <Field label="Published ports" hint="The server’s port : the computer’s port, one a line, like 8080:80.">{(ids) => <textarea {...ids} rows="3" spellcheck={false} value={more.ports} onInput={set('ports')} />}</Field>}
      </div>
      <Check label="Start it when the server starts" checked={more.autostart} onChange={(e) => setMore({ ...more, autostart: e.currentTarget.checked })} />
    </div>
  );
}
