# services.snowflake-broker: the options are in options.nix and settings.nix, the units
# in units.nix, and what follows from the settings is in from-settings.nix.
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

  # The unit's text says nothing of its content, so a change of it alone is no restart.
  configPath = "/etc/snowflake-broker/config.toml";
  bridgesPath = "/etc/snowflake-broker/bridges.jsonl";

  command = lib.getExe cfg.package;
  canCheck = cfg.checkConfig && pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;

  # The file, if the command says that it is right.
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
      lines = map (bridge: "${builtins.toJSON bridge}\n") cfg.bridges;
      file = pkgs.writeText "bridges.jsonl" (lib.concatStrings lines);
    in
    checked "bridges-checked.jsonl" file { } ''
      ${command} --config ${pkgs.emptyFile} --disable-tls --disable-geoip --bridge-list-path ${file} \
        --allowed-relay-pattern=${lib.escapeShellArg cfg.settings.broker.allowed_relay_pattern} check-config
    '';

  certificate = config.security.acme.certs.${cfg.useACMEHost};

  # Restarted when the sockets are to listen elsewhere, and they with it.
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

    # The switch to a new system restarts services and no sockets. systemd then closes a
    # socket that is to listen elsewhere and opens none, and the broker would have to.
    systemd.services.${socketsUnit} = lib.mkIf (passes != [ ]) {
      description = "Snowflake broker: where its sockets listen";
      # Stopped and started, it would leave the sockets stopped.
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
        # Where one is missing, the broker says so more clearly than systemd.
        writes = map (path: "-${path}") plan.writes;
      })
      {
        wantedBy = [ "multi-user.target" ];
        inherit (cfg) environment;
        # It runs no other program.
        enableDefaultPath = false;
        # Stopped and started later, it would be away while the rest of the system
        # changes, and so would its sockets.
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
