# services.snowflake-broker. The options are in options.nix and settings.nix, the units
# in units.nix, and everything derived from the settings in from-settings.nix.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.services.snowflake-broker;
  toml = pkgs.formats.toml { };
  units = import ./units.nix;

  plan = import ./from-settings.nix {
    inherit (cfg)
      settings
      socketActivation
      openFirewall
      extraConfigFiles
      environment
      extraArgs
      bridges
      ;
    hasEnvironmentFile = cfg.environmentFile != null;
    credentials = lib.attrNames cfg.credentials;
  };
  passes = lib.attrNames plan.sockets;

  # The unit refers to these files by fixed paths, so that a change of their content alone
  # does not restart it.
  configPath = "/etc/snowflake-broker/config.toml";
  bridgesPath = "/etc/snowflake-broker/bridges.jsonl";

  command = lib.getExe cfg.package;
  canCheck = cfg.checkConfig && pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;

  # The file, once the command has accepted it.
  checked =
    name: file: environment: check:
    if canCheck then
      pkgs.runCommand name { env = environment; } ''
        ${check}
        cp ${file} $out
      ''
    else
      file;

  configFile =
    let
      file = toml.generate "snowflake-broker.toml" plan.rendered;
    in
    checked "snowflake-broker-checked.toml" file cfg.environment ''
      ${command} --config ${file} ${lib.escapeShellArgs plan.extraArgs} check-config --no-files
    '';

  bridgesFile =
    let
      lines = map (bridge: "${builtins.toJSON (set bridge)}\n") cfg.bridges;
      set = lib.filterAttrs (_: value: value != null);
      file = pkgs.writeText "bridges.jsonl" (lib.concatStrings lines);
    in
    checked "bridges-checked.jsonl" file { } ''
      ${command} --config ${pkgs.emptyFile} --disable-tls --disable-geoip --bridge-list-path ${file} \
        --allowed-relay-pattern=${lib.escapeShellArg cfg.settings.broker.allowed_relay_pattern} check-config
    '';

  certificate = config.security.acme.certs.${cfg.useACMEHost};

  # A unit that restarts, together with the sockets, when their addresses change.
  socketsUnit = "snowflake-broker-sockets";
  socketOf = purpose: streams: {
    name = lib.removeSuffix ".socket" (units.socketUnit purpose);
    value = units.sockets.${purpose} streams // {
      wants = [ "${socketsUnit}.service" ];
      partOf = [ "${socketsUnit}.service" ];
    };
  };
in
{
  options.services.snowflake-broker = import ./options.nix {
    inherit lib pkgs;
    settingsType = toml.type;
  };

  config = lib.mkIf cfg.enable {
    assertions = map (
      { assertion, message }:
      {
        inherit assertion;
        message = "services.snowflake-broker.${message}";
      }
    ) plan.assertions;
    warnings = map (message: "services.snowflake-broker.${message}") plan.warnings;

    services.snowflake-broker.settings = {
      tls = lib.mkIf (cfg.useACMEHost != null) {
        cert = "${certificate.directory}/fullchain.pem";
        key = "${certificate.directory}/key.pem";
      };
      broker.bridge_list_path = lib.mkIf (cfg.bridges != [ ]) bridgesPath;
      geoip =
        if cfg.geoip == null then
          {
            disable = lib.mkDefault (cfg.settings.geoip.geoipdb == null && cfg.settings.geoip.geoip6db == null);
          }
        else
          {
            geoipdb = lib.mkDefault "${cfg.geoip}/share/tor/geoip";
            geoip6db = lib.mkDefault "${cfg.geoip}/share/tor/geoip6";
          };
    };

    environment.etc."snowflake-broker/config.toml".source = configFile;
    environment.etc."snowflake-broker/bridges.jsonl" = lib.mkIf (cfg.bridges != [ ]) {
      source = bridgesFile;
    };
    # For `snowflake-broker admin`.
    environment.systemPackages = [ cfg.package ];
    users.groups.${units.operators} = { };

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall plan.publicPorts;

    security.acme.certs = lib.mkIf (cfg.useACMEHost != null) {
      ${cfg.useACMEHost}.reloadServices = [ "snowflake-broker.service" ];
    };

    systemd.sockets = lib.mapAttrs' socketOf plan.sockets;

    # switch-to-configuration restarts services but not sockets: after an address change,
    # systemd would close the old socket without opening the new one, and leave that to
    # the broker.
    systemd.services.${socketsUnit} = lib.mkIf (passes != [ ]) {
      description = "Snowflake broker: socket addresses";
      # A stop and a start, instead of a restart, would leave the sockets stopped.
      stopIfChanged = false;
      restartTriggers = [ (builtins.toJSON plan.sockets) ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = lib.getExe' pkgs.coreutils "true";
      };
    };

    systemd.services.snowflake-broker = lib.mkMerge [
      (units.service {
        command = utils.escapeSystemdExecArgs (
          [ command ]
          ++ lib.concatMap (file: [
            "--config"
            file
          ]) ([ configPath ] ++ plan.extraConfigFiles)
          ++ plan.extraArgs
        );
        inherit (plan) privilegedPort;
        inherit (cfg) memoryHigh memoryMax;
        inherit passes;
        # Optional for systemd (-): the broker reports a missing path more clearly.
        writes = map (path: "-${path}") plan.writes;
      })
      {
        wantedBy = [ "multi-user.target" ];
        inherit (cfg) environment;
        # The broker runs no other program.
        enableDefaultPath = false;
        # Otherwise the broker and its sockets would be down while the rest of the system
        # is switched.
        stopIfChanged = false;
        reloadTriggers = [ configFile ] ++ lib.optional (cfg.bridges != [ ]) bridgesFile;
        restartTriggers = [ (builtins.toJSON plan.needsRestart) ];
        serviceConfig.LoadCredential = lib.mapAttrsToList (name: file: "${name}:${file}") cfg.credentials;
        serviceConfig.EnvironmentFile = lib.mkIf (cfg.environmentFile != null) cfg.environmentFile;
      }
      (lib.mkIf (cfg.useACMEHost != null) {
        wants = [ "acme-${cfg.useACMEHost}.service" ];
        after = [ "acme-${cfg.useACMEHost}.service" ];
        serviceConfig.SupplementaryGroups = [ certificate.group ];
      })
    ];
  };
}
