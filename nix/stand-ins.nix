# Stand-ins for the parts of nixpkgs' library, packages and module system that our files
# use, so that they can be checked without nixpkgs.
{
  # The environment of a build, with which it finds its tools and our dependencies.
  buildEnvironment ? { },
  # The directory with the files of nixpkgs that ours import.
  nixpkgs ? "/nixpkgs",
}:

let
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  concat = builtins.concatStringsSep;
  type = name: { inherit name; };
  within = name: inner: inner // { name = "${name} ${inner.name}"; };

  marked = mark: content: {
    _type = mark;
    inherit content;
  };
  isMarked = mark: value: builtins.isAttrs value && value._type or null == mark;

  # A definition as the module system reads it: without the parts that a condition excludes.
  # Only the marks are evaluated, since definitions refer to each other.
  resolve =
    value:
    if isMarked "merge" value then
      builtins.foldl' merge { } (map resolve value.content)
    else if isMarked "if" value then
      if value.condition then resolve value.content else { }
    else if isMarked "default" value then
      resolve value.content
    else if builtins.isAttrs value && !(value ? outPath) then
      builtins.mapAttrs (_: resolve) (
        removeAttrs value (
          builtins.filter (name: isMarked "if" value.${name} && !value.${name}.condition) (
            builtins.attrNames value
          )
        )
      )
    else
      value;

  merge =
    one: other:
    if builtins.isAttrs one && builtins.isAttrs other then
      one
      // builtins.mapAttrs (name: value: if one ? ${name} then merge one.${name} value else value) other
    else if builtins.isList one && builtins.isList other then
      one ++ other
    else
      other;

  # Like `merge`, but a list replaces the other list.
  override =
    one: other:
    if builtins.isAttrs one && builtins.isAttrs other then
      one
      // builtins.mapAttrs (
        name: value: if one ? ${name} then override one.${name} value else value
      ) other
    else
      other;

  defaultsOf =
    option: if option ? isOption then option.default else builtins.mapAttrs (_: defaultsOf) option;

  quote = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";

  # The source files of a package, as one directory in the store.
  toSource =
    { root, fileset }:
    let
      start = toString root;
      isIn =
        path:
        builtins.any (
          it: path == toString it || hasPrefix "${toString it}/" path || hasPrefix "${path}/" (toString it)
        ) fileset;
    in
    builtins.path {
      path = root;
      name = "source";
      filter = path: _: hasPrefix start path && isIn path;
    };
in
rec {
  inherit merge;

  lib = {
    inherit (builtins)
      attrNames
      concatMap
      ;
    # Options have as much as the table in docs/nixos.md shows: a type consists of its name
    # and, for a submodule, its options.
    mkOption = option: option // { isOption = true; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = type "true or false";
        default = false;
        description = "Enable ${what}.";
      };
    literalExpression = text: text;
    types = {
      bool = type "true or false";
      str = type "string";
      package = type "package";
      path = type "path";
      externalPath = type "path, not in the store";
      ints.unsigned = type "number";
      numbers.between = least: most: type "${toString least} to ${toString most}";
      strMatching = pattern: type "`${pattern}`";
      enum = values: type (concat " or " (map builtins.toJSON values));
      either = one: other: type "${one.name} or ${other.name}";
      nullOr = inner: inner // { name = "null or ${inner.name}"; };
      listOf = inner: within "list of" inner // { isList = true; };
      attrsOf = within "set of";
      submodule = { options, ... }: type "settings" // { inherit options; };
    };

    mkIf = condition: content: marked "if" content // { inherit condition; };
    mkMerge = marked "merge";
    mkDefault = marked "default";

    filterAttrs =
      keep: set:
      let
        others = builtins.filter (name: !keep name set.${name}) (builtins.attrNames set);
      in
      removeAttrs set others;
    genAttrs =
      names: make:
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = make name;
        }) names
      );
    mapAttrsToList = make: set: map (name: make name set.${name}) (builtins.attrNames set);
    mapAttrs' = make: set: builtins.listToAttrs (lib.mapAttrsToList make set);
    concatStrings = concat "";
    optional = condition: value: if condition then [ value ] else [ ];
    optionalString = condition: text: if condition then text else "";
    removeSuffix =
      suffix: text: builtins.substring 0 (builtins.stringLength text - builtins.stringLength suffix) text;
    escapeShellArg = quote;
    escapeShellArgs = texts: concat " " (map quote texts);
    getExe = package: lib.getExe' package package.meta.mainProgram;
    getExe' = package: name: "${package}/bin/${name}";

    importTOML = path: builtins.fromTOML (builtins.readFile path);
    fileset.unions = paths: paths;
    fileset.toSource = toSource;
    licenses.bsd3.spdxId = "BSD-3-Clause";
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };

  pkgs = {
    callPackage =
      file: arguments:
      let
        make = import file;
      in
      make (builtins.intersectAttrs (builtins.functionArgs make) ({ inherit lib; } // pkgs) // arguments);

    stdenv = {
      buildPlatform.canExecute = _: true;
      hostPlatform.system = builtins.currentSystem;
    };
    rustPlatform.buildRustPackage = buildPackage;
    installShellFiles = "installShellFiles";
    versionCheckHook = "versionCheckHook";
    testers.runNixOSTest = test: test // { name = "test"; };
    formats.toml = _: {
      type = null;
      generate = name: value: {
        outPath = "/built/${name}";
        text = import ./toml.nix value;
      };
    };
    coreutils = "/coreutils";
    emptyFile = "/built/empty";
    tor.geoip = "/run/tor-geoip";
    snowflake = "/snowflake";
    cacert = "/cacert";
    dockerTools.streamLayeredImage = image: image;
    runCommand =
      name: attributes: script:
      attributes
      // {
        inherit name script;
        outPath = "/built/${name}";
      };
    writeText = name: text: {
      outPath = "/built/${name}";
      inherit text;
    };
    mkShell = attributes: attributes;
    clippy = "clippy";
    rustfmt = "rustfmt";
    rust-analyzer = "rust-analyzer";
    nixfmt = "nixfmt";
    nixfmt-tree = "nixfmt-tree";
    deadnix = "deadnix";
    shellcheck = "shellcheck";
    openssl = "openssl";
    path = nixpkgs;
  };

  # A debug build in Nix's sandbox, with the machine's own tools instead of packages. The
  # script follows the phases of nixpkgs.
  buildPackage =
    make:
    let
      attributes = make (attributes // { finalPackage = package; });
      build = derivation (
        buildEnvironment
        // {
          name = "${attributes.pname}-${attributes.version}";
          system = builtins.currentSystem;
          builder = "/bin/bash";
          args = [ ./stand-in-build ];
          inherit (attributes)
            src
            version
            buildFeatures
            cargoTestFlags
            postInstall
            ;
          inherit (attributes.meta) mainProgram;
          checksVersion = builtins.elem "versionCheckHook" (attributes.nativeInstallCheckInputs or [ ]);
        }
      );
      package = attributes // attributes.passthru or { } // build;
    in
    package;

  # The configuration in a file.
  load =
    file:
    let
      module = import file;
    in
    if builtins.isFunction module then module { inherit pkgs; } else module;

  # A machine with the module and this configuration: the module's definitions and the
  # final options.
  machine =
    configuration:
    let
      module = import ./module.nix {
        inherit lib pkgs;
        utils.escapeSystemdExecArgs = words: concat " " (map builtins.toJSON words);
        config = {
          security = configuration.security or { };
          services.snowflake-broker = options;
        };
      };
      given = configuration.services.snowflake-broker;
      defaults = builtins.mapAttrs (
        _: option: option.default or null
      ) module.options.services.snowflake-broker;
      typed = module.options.services.snowflake-broker.settings.type.options;
      defined = resolve module.config;
      options =
        defaults
        // given
        // {
          settings = override (override (builtins.mapAttrs (_: defaultsOf) typed) (
            resolve module.config.content.services.snowflake-broker.settings
          )) (given.settings or { });
        };
    in
    defined // { inherit options; };

  # The configuration files of the broker on a machine with these modules.
  files =
    modules:
    let
      all = builtins.foldl' merge { } (map load modules);
      unchecked = merge all { services.snowflake-broker.checkConfig = false; };
      etc = (machine unchecked).environment.etc;
    in
    {
      "config.toml" = etc."snowflake-broker/config.toml".source.text;
      "bridges.jsonl" = etc."snowflake-broker/bridges.jsonl".source.text;
    };
}
