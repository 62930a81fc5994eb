# Tests of the module, the flake and the package with stand-ins for nixpkgs: they can be
# evaluated and have the expected content. module-test.nix has more tests, with the real
# types and units.
let
  standIns = import ./stand-ins.nix { };
  inherit (standIns) lib pkgs machine;

  nixpkgs = {
    lib = lib // {
      nixosSystem = throw "the module's tests need nixpkgs";
    };
    legacyPackages = lib.genAttrs lib.platforms.linux (_: pkgs);
  };
  flake = (import ../flake.nix).outputs {
    self = flake;
    inherit nixpkgs;
  };
  package = flake.packages.x86_64-linux.default;
  image = flake.packages.x86_64-linux.image;
  # True if the whole value can be evaluated.
  isWhole = value: builtins.deepSeq value true;
  isText = value: builtins.isString value && value != "";

  example = machine (import ./example.nix);
  withToken = machine (standIns.merge (import ./example.nix) (import ./example-admin.nix));
  ownSnowflake = machine (standIns.load ./example-own-snowflake.nix);
  # A minimal broker with the given options.
  broker =
    options:
    machine {
      services.snowflake-broker = {
        enable = true;
        settings.tls.disable = true;
      }
      // options;
    };
  service = machine: machine.systemd.services.snowflake-broker;
  failures = machine: map (it: it.message) (builtins.filter (it: !it.assertion) machine.assertions);
  isRestarted = one: other: one.restartTriggers != other.restartTriggers;
in
{
  "the whole module can be evaluated" =
    isWhole example.systemd
    && isWhole example.environment.etc
    && isWhole example.security
    && isWhole example.users;
  "the example is accepted, and needs no secret" =
    failures example == [ ]
    && example.warnings == [ ]
    && (service example).serviceConfig.LoadCredential == [ ]
    && !((service example).serviceConfig ? EnvironmentFile);
  "the example with a token is accepted, and keeps the socket" =
    failures withToken == [ ]
    && withToken.warnings == [ ]
    &&
      (service withToken).serviceConfig.LoadCredential == [
        "watcher-token:/run/secrets/watcher-token"
      ]
    &&
      withToken.systemd.sockets.snowflake-broker-admin.listenStreams == [
        "/run/snowflake-broker/admin.sock"
        "127.0.0.1:9443"
      ];
  "a Snowflake of one's own opens its ports, and has its token from root" =
    failures ownSnowflake == [ ]
    && ownSnowflake.warnings == [ ]
    &&
      ownSnowflake.networking.firewall.allowedTCPPorts == [
        443
        8443
      ]
    && ownSnowflake.systemd.sockets.snowflake-broker.listenStreams == [ "198.51.100.7:443" ]
    &&
      (service ownSnowflake).serviceConfig.LoadCredential == [
        "family-token:/run/secrets/family-token"
      ];
  "the service gets its sockets, and expects them" =
    builtins.attrNames example.systemd.sockets == [
      "snowflake-broker"
      "snowflake-broker-acme"
      "snowflake-broker-admin"
    ]
    && (service example).requires == [ "snowflake-broker.socket" ]
    && builtins.elem "snowflake-broker-admin.socket" (service example).wants
    && (service example).environment.SNOWFLAKE_BROKER_LISTENER__EXPECTED_SOCKETS == "acme,admin,http"
    && !((service example).serviceConfig ? RuntimeDirectory);
  "sockets with new addresses are restarted, together with the broker" =
    let
      at =
        addr:
        broker {
          settings = {
            listener = { inherit addr; };
            tls.disable = true;
          };
        };
      sockets = machine: machine.systemd.services.snowflake-broker-sockets;
      socket = (at ":80").systemd.sockets.snowflake-broker;
      later = broker {
        settings = {
          tls.disable = true;
          listener.idle_timeout = 5;
        };
      };
    in
    isRestarted (sockets (at ":80")) (sockets (at ":81"))
    && isRestarted (service (at ":80")) (service (at ":81"))
    && !isRestarted (sockets (broker { })) (sockets later)
    && !(sockets (at ":80")).stopIfChanged
    && (sockets (at ":80")).serviceConfig.RemainAfterExit
    && socket.partOf == [ "snowflake-broker-sockets.service" ]
    && socket.wants == [ "snowflake-broker-sockets.service" ];
  "without socket activation there are no socket units, but a runtime directory" =
    let
      own = broker { socketActivation = false; };
    in
    own.systemd.sockets == { }
    && (service own).serviceConfig.RuntimeDirectory == "snowflake-broker"
    && (service own).serviceConfig.AmbientCapabilities == [ "CAP_NET_BIND_SERVICE" ]
    && (service own).environment == { }
    && (own.systemd.services.snowflake-broker-sockets or { }) == { };
  "credentials can be configuration files" =
    let
      more = broker {
        extraConfigFiles = [ "%d/more.toml" ];
        credentials."more.toml" = "/run/secrets/more.toml";
      };
      file = ''"--config" "/run/credentials/snowflake-broker.service/more.toml"'';
    in
    failures more == [ ] && builtins.match ".*${file}" (service more).serviceConfig.ExecStart != null;
  "the broker can write to directories other than its own" =
    let
      elsewhere = broker {
        settings = {
          tls.disable = true;
          metrics.metrics_log = "/srv/metrics/metrics.log";
        };
      };
    in
    (service elsewhere).serviceConfig.ReadWritePaths == [ "-/srv/metrics" ];
  "bridges are checked only against the relay pattern" =
    let
      file = example.environment.etc."snowflake-broker/bridges.jsonl".source.script;
    in
    builtins.match
      ".*--config [^ ]*empty .*--allowed-relay-pattern='snowflake.example.org[$]' check-config.*"
      (builtins.replaceStrings [ "\n" "\\" ] [ " " "" ] file) != null;
  "a certificate of security.acme" =
    let
      config = machine {
        services.snowflake-broker = {
          enable = true;
          useACMEHost = "broker.example";
        };
        security.acme.certs."broker.example" = {
          directory = "/var/lib/acme/broker.example";
          group = "acme";
        };
      };
    in
    failures config == [ ]
    && (service config).serviceConfig.SupplementaryGroups == [ "acme" ]
    && config.options.settings.tls.key == "/var/lib/acme/broker.example/key.pem";

  "the package has the metadata that nixpkgs requires" =
    isText package.meta.description
    && isText package.meta.homepage
    && builtins.match "https://.*${package.version}.*" package.meta.changelog != null
    && builtins.all (maintainer: isText maintainer.name) package.meta.maintainers
    && package.meta.maintainers != [ ]
    && package.meta.mainProgram == "snowflake-broker"
    && package.doInstallCheck
    && package.nativeInstallCheckInputs == [ "versionCheckHook" ];
  "the package's test is a VM with it" =
    package.passthru.tests.nixos.defaults.services.snowflake-broker.package == package;
  "the image has the package and no shell, and does not run as root" =
    image.contents == [ package ]
    && image.tag == package.version
    && image.config.Entrypoint == [ "${package}/bin/snowflake-broker" ]
    && builtins.match "[1-9][0-9]*:[1-9][0-9]*" image.config.User != null
    && builtins.attrNames image.config.Volumes == [ image.config.WorkingDir ]
    && isWhole image.config.Labels
    && isText image.fakeRootCommands;
  "the image listens on the ports that it exposes" =
    let
      listens =
        variable: port:
        builtins.elem "SNOWFLAKE_BROKER_${variable}=:${port}" image.config.Env
        && image.config.ExposedPorts ? "${port}/tcp";
    in
    listens "LISTENER__ADDR" "8443" && listens "ACME__HTTP_ADDR" "8080";
  "the flake has the usual outputs" =
    builtins.attrNames flake.packages == [
      "aarch64-linux"
      "x86_64-linux"
    ]
    && flake.apps.x86_64-linux.default.program == "${package}/bin/snowflake-broker"
    && (flake.overlays.default pkgs { }).snowflake-broker.pname == "snowflake-broker"
    && flake.nixosModules.default == ./module.nix
    &&
      builtins.attrNames flake.checks.x86_64-linux == [
        "format"
        "module-eval"
        "package"
        "vm"
      ]
    && isText flake.checks.x86_64-linux.format.script
    && builtins.length flake.devShells.x86_64-linux.default.packages > 1
    && isText flake.formatter.x86_64-linux;
}
