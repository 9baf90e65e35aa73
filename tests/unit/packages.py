#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""packaging/packages names what brings each program that our code starts, each library that Meson asks pkg-config for, and each that our
own programs were linked to.

What starts a program is read from the sources: argument vectors in C, subprocess calls in Python, shell scripts, also those that
stand in C strings. The packages are asked of dpkg on this machine, so that nothing here has to be kept by hand: a file's owner
has to be listed, or to be what a listed package depends on. What every Debian has (Essential, Priority: required, apt itself)
needs no line."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Part of the shell, or made by the script itself.
SHELL = set("""[ . : break case cd command continue do done elif else esac exec exit export eval false fi for function getopts if in kill local
printf pwd read return set shift test then time trap true ulimit umask unset until wait while { } ! echo""".split())
# Only beside a peer of the benchmark, which runs where somebody has installed it; made by ourselves; part of a running systemd; a guest's.
NOT_OURS = {"portena", "criu", "incus", "incusd", "libvirtd", "lxc", "lxd", "podman", "systemctl", "machinectl", "poweroff", "virsh"}
failed = []


def check(good, what):
    if not good:
        failed.append(what)
        print(f"FAILED: {what}", file=sys.stderr)


def sources(*patterns):
    for pattern in patterns:
        for path in sorted(TOP.glob(pattern)):
            if "node_modules" not in path.parts and path.is_file():
                yield path, path.read_text(errors="replace")


def commands_of_shell(text):
    """The first word of each simple command, as far as it is one that stands there in full."""
    text = re.sub(r"<<-?\s*'?(\w+)'?(.*?)\n.*?^\s*\1$", r"\2", text, flags=re.S | re.M)
    text = re.sub(r"(^|\s)#.*", r"\1", text)
    own = set(re.findall(r"^\s*(\w+)\(\)", text, flags=re.M))
    text = re.sub(r"'[^']*'", "''", text).replace("\\\n", " ")
    text = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda m: '""' + " ".join(f"; {c} ;" for c in re.findall(r"\$\(([^()]*)\)", m[1])), text)
    text = re.sub(r"\$\(\(.*?\)\)", "0", text)
    text = re.sub(r"\bfor \w+ in [^\n;]*", "", text)
    text = re.sub(r"^(\s*\(?)[^()\n;&|]*\)(?=\s|$)", r"\1;", text, flags=re.M)  # a case's patterns
    for part in re.split(r"\n|;|&&|\|\||\||&|\$\(|\(|\)|`|(?<!\S)(?:then|do|else|!|\{|if|while|until|elif|in)(?=\s)", text):
        words = part.split()
        while words and (re.match(r"\w+=", words[0]) or words[0] in ("exec", "command", "sudo", "env", "setsid", "-v", "nohup", "xargs", "-0")):
            word = words.pop(0)
            if word in ("setsid", "xargs", "env", "sudo"):
                yield word
        if words and re.fullmatch(r"[a-z][\w.+-]*", words[0]) and words[0] not in SHELL | own:
            yield words[0]


def literal(text):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)).replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")


def commands_of_c(text):
    """Argument vectors: an array of strings that is handed to something that runs it, or the programs a doctor looks for."""
    scripts = {}
    for name, value in re.findall(r"char (\w+)\[\] =\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+);", text):
        scripts[name] = f"{scripts.get(name, '')}\n{literal(value)}"
    arrays = re.findall(r"char \*(?:const )?(\w+)\[\] = \{(.*?)\};", text, flags=re.S)
    for name, body in arrays:
        if not re.search(rf"argv = (?:\([^)]*\)\s*)?{name}\b|\b(?:pt_run|execv\w*)\([^;]*\b{name}\b|g_ptr_array_add\(argv, [^;]*\b{name}\[", text):
            continue
        items = re.findall(r'\s*(?:\(char \*\)\s*)?((?:"(?:[^"\\]|\\.)*"\s*)+|\w[^,]*),', body + ",")
        first = literal(items[0]) if items else ""
        if not re.fullmatch(r"[a-z][\w.+-]*", first):
            continue
        yield first
        if first == "sh" and len(items) > 2:
            yield from commands_of_shell(scripts.get(items[2].strip(), literal(items[2])))
    yield from re.findall(r'g_find_program_in_path\("([^"]+)"\)', text)
    for table in re.findall(r"\} programs\[\] = \{(.*?)\n  \};", text, flags=re.S):
        yield from re.findall(r'\{ "([^"]+)"', table)
    yield from re.findall(r'"/usr/s?bin/([\w.+-]*[\w.+])"', text)
    for script in re.findall(r'\b(?:system|in|command = g_strdup_printf)\((?:[\w.]+,)?((?:\s*(?:"(?:[^"\\]|\\.)*"|[A-Z]+\b))+)', text):
        yield from commands_of_shell(literal(script))


def commands_of_python(text):
    yield from re.findall(r'(?:subprocess\.\w+|\bsh|\brun|\btap)\((?:f?"[^"]*", )?\[\s*"([a-z][\w.+-]*)"', text)
    yield from re.findall(r'shutil\.which\("([^"]+)"', text)
    yield from re.findall(r'\["/usr/s?bin/([\w.+-]+)"', text)


def listed():
    """kind -> the alternatives of its lines."""
    found = {"build": [], "run": [], "test": []}
    for line in (TOP / "packaging/packages").read_text().splitlines():
        kind, names = line.split()[:2]
        found[kind].append(names.split("|"))
    return found


def ask(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


class Dpkg:
    def __init__(self):
        self.depends, self.everywhere, self.owners = {}, set(), {}
        fields = "${Package}\t${db:Status-Status}\t${Essential}\t${Priority}\t${Depends}, ${Pre-Depends}\n"
        for line in ask("dpkg-query", "-W", "-f", fields).splitlines():
            name, status, essential, priority, depends = line.split("\t", 4)
            if status != "installed":
                continue
            self.depends[name] = set(re.findall(r"(?:^|[,|])\s*([a-z0-9.+-]+)", depends))
            if essential == "yes" or priority == "required" or name == "apt":
                self.everywhere.add(name)

    def ask_owners(self, paths):
        """Of files, or of what they lead to; with and without the /usr of a merged system. At once: each call reads all lists."""
        tries = {p: {q.removeprefix(cut) for q in (str(p), str(pathlib.Path(p).resolve())) for cut in ("", "/usr")} for p in paths}
        held = {}
        for line in ask("dpkg-query", "-S", *sorted(set().union(*tries.values()))).splitlines():
            if not line.startswith("diversion"):
                packages, path = line.rsplit(": ", 1)
                held.setdefault(path, set()).update(p.split(":")[0] for p in packages.split(", "))
        self.owners = {p: set().union(*(held.get(t, ()) for t in all)) for p, all in tries.items()}

    def brought(self, owners, names):
        return any(o in self.everywhere or o in names or any(o in self.depends.get(n, ()) for n in names) for o in owners)


def linked():
    """Where the shared libraries are that our programs, built in the working directory, themselves want -> one of these programs."""
    found = {}
    for path in sorted(p for p in pathlib.Path("src").glob("**/*") if p.is_file() and os.access(p, os.X_OK)):
        wanted = re.findall(r"^\s*NEEDED\s+(\S+)$", ask("objdump", "-p", str(path)), flags=re.M)
        for name, at in re.findall(r"^\s*(\S+) => (/\S+) ", ask("ldd", str(path)) if wanted else "", flags=re.M):
            if name in wanted:
                found.setdefault(at, str(path))
    return found


def main():
    if not shutil.which("dpkg-query"):
        print("no Debian: dpkg cannot be asked")
        return 77
    dpkg, lines = Dpkg(), listed()
    absent = ["|".join(g) for groups in lines.values() for g in groups if not dpkg.depends.keys() & set(g) and g[0] not in ("nodejs", "npm")]
    if absent:
        print(f"not all is installed (packaging/deps.sh build run test): {' '.join(absent)}")
        return 77
    text = (TOP / "packaging/packages").read_text().splitlines()
    check(text == sorted(set(text)), "packaging/packages: is not sorted, or names something twice")
    names = {kind: {n for group in groups for n in group} for kind, groups in lines.items()}
    names["test"] |= names["build"] | names["run"]

    wanted = {}
    def want(kind, path, programs):
        for program in programs:
            if program not in NOT_OURS:
                wanted.setdefault((kind, program), str(path.relative_to(TOP)))
    for path, text in sources("src/**/*.c"):
        want("run", path, commands_of_c(text))
    for path, text in sources("packaging/run.sh", "packaging/user.sh", "packaging/deps.sh"):
        want("run", path, commands_of_shell(text))
    for path, text in sources("web/*.sh", "packaging/*.sh"):
        want("build", path, commands_of_shell(text))
    for path, text in sources("man/*.py"):
        want("test", path, commands_of_python(text))
    for path, text in sources("tests/**/*.sh", ".ci/run"):
        want("test", path, commands_of_shell(text))
    for path, text in sources("tests/**/*.py"):
        want("test", path, commands_of_python(text))
    for path, text in sources("tests/**/*.c"):
        want("test", path, commands_of_c(text))

    if "-v" in sys.argv:
        print(*sorted(f"{k} {p} ({w})" for (k, p), w in wanted.items()), sep="\n")
    modules = {}
    for path, text in sources("tests/**/*.py", "man/*.py"):
        for module in re.findall(r"^(?:import|from) (\w+)", text, flags=re.M):
            if module not in sys.stdlib_module_names and not any(TOP.glob(f"tests/*/{module}.py")):
                modules.setdefault(module, str(path.relative_to(TOP)))
    # Of Debian's Python, which is the one that runs those.
    show = "import importlib.util as u, sys\nfor m in sys.argv[1:]: print(getattr(u.find_spec(m), 'origin', ''))"
    origins = dict(zip(modules, ask("/usr/bin/python3", "-c", show, *modules).splitlines()))
    asked = {}
    for path, text in sources("meson.build", "src/**/meson.build", "tests/**/meson.build"):
        for name in re.findall(r"\bdependency\('([^']+)'", text):
            if name != "threads":
                asked.setdefault(name, str(path.relative_to(TOP)))
    places = ask("pkg-config", "--variable", "pc_path", "pkg-config").strip().split(":")
    described = {name: next((f"{p}/{name}.pc" for p in places if (pathlib.Path(p) / f"{name}.pc").exists()), "") for name in asked}
    programs = {program: shutil.which(program, path=PATH) or "" for _, program in wanted}
    libraries = linked()
    dpkg.ask_owners({p for p in [*libraries, *programs.values(), *origins.values(), *described.values()] if p})

    for (kind, program), where in sorted(wanted.items()):
        path = programs[program]
        elsewhere = program in ("node", "npm") and shutil.which(program)
        if path.startswith("/usr/local/") or (not path and elsewhere):
            continue
        if not path:
            check(False, f"{where}: calls {program}, which no line of packaging/packages has brought here")
            continue
        kinds = names[kind] | ({"nodejs", "npm"} if elsewhere else set())
        owners = dpkg.owners[path]
        check(dpkg.brought(owners, kinds),
              f"{where}: calls {program} of {'|'.join(sorted(owners)) or path}, for which packaging/packages has no '{kind}' line")
    for module, where in modules.items():
        check(dpkg.brought(dpkg.owners.get(origins.get(module), ()), names["test"]),
              f"{where}: imports {module}, for which packaging/packages has no line")
    for name, where in asked.items():
        check(dpkg.brought(dpkg.owners.get(described[name], ()), names["build"]),
              f"{where}: wants {name}.pc, for which packaging/packages has no 'build' line")
    for path, where in libraries.items():
        # That another package of ours brings it along today is no promise.
        check(dpkg.owners[path] & names["run"] or dpkg.brought(dpkg.owners[path], dpkg.everywhere),
              f"{where}: is linked to {path} of {'|'.join(sorted(dpkg.owners[path]))}, for which packaging/packages has no 'run' line")
    check(len(asked) > 5 and len(wanted) > 30,
          f"found only {len(asked)} libraries and {len(wanted)} programs: does this test still read the sources?")
    print(f"{len(wanted)} programs, {len(asked)} libraries to build with, {len(libraries)} to run with")
    return 1 if failed else 0


sys.exit(main())
