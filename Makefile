# Thin on purpose: Meson builds, the scripts do. `sudo make run`, `sudo make check`.
BUILD ?= build

.PHONY: all run check check-host bench install uninstall deps clean
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)
	web/build.sh

$(BUILD)/build.ninja:
	@packaging/deps.sh --check build
	meson setup --prefix=/usr --buildtype=release $(BUILD)

deps:
	packaging/deps.sh build run

run: deps
	$(MAKE) all
	packaging/run.sh $(BUILD)

check:
	packaging/deps.sh build run test
	tests/check.sh

# Portena on a server of its own, with systemd, in an emulated machine: takes minutes.
check-host:
	packaging/deps.sh build run test
	$(MAKE) all
	PORTENA_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/lib/images.py
	PORTENA_BUILD=$(abspath $(BUILD)) /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/host

bench:
	packaging/deps.sh build run test
	$(MAKE) all
	tests/bench/run.sh $(BUILD)

install: all
	meson install -C $(BUILD) --no-rebuild --quiet
	@[ -n "$(DESTDIR)" ] || echo 'Start Portena, now and at each boot:  systemctl enable --now portenad portena-gateway portena-instances'

uninstall:
	packaging/uninstall.sh $(BUILD)

clean:
	rm -rf $(BUILD) build-* web/dist
