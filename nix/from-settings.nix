# Everything derived from a broker's settings: the sockets and who opens them, the ports in
# the firewall, the settings that need a restart, and the checks for mistakes and unsafe
# choices. Plain functions without nixpkgs; module.nix turns the results into options.
{
  # The settings as in the configuration file; an unset key may be null or missing.
  settings,
  # True if a file of secret variables may set further keys.
  hasEnvironmentFile ? false,
  # True if systemd opens the public sockets.
  socketActivation ? true,
  openFirewall ? false,
  # The names of the service's credentials.
  credentials ? [ ],
  # Further configuration files, variables and flags.
  extraConfigFiles ? [ ],
  environment ? { },
  extraArgs ? [ ],
  # The bridges that the module writes to a file.
  bridges ? [ ],
}:

let
  # True if another layer may set further keys.
  hasMoreLayers =
    hasEnvironmentFile || extraConfigFiles != [ ] || environment != { } || extraArgs != [ ];

  # The value of a key, or null.
  get =
    path:
    builtins.foldl' (
      value: name: if builtins.isAttrs value then value.${name} or null else null
    ) settings (builtins.filter builtins.isString (builtins.split "\\." path));
  isSet =
    path:
    !builtins.elem (get path) [
      null
      ""
      [ ]
    ];
  isTrue = path: get path == true;

  # Host and port of an address such as ":443", "127.0.0.1:80" or "[::1]:80"; null if
  # invalid.
  parse =
    address:
    let
      parts = if builtins.isString address then builtins.match "(.*):0*([0-9]+)" address else null;
    in
    if parts == null then
      null
    else
      {
        host = builtins.elemAt parts 0;
        port = builtins.fromJSON (builtins.elemAt parts 1);
      };
  isLoopback = { host, ... }: host == "localhost" || builtins.match "127\\..*|\\[::1]" host != null;
  # True if systemd can listen on this address: systemd does not resolve names.
  isNumeric = { host, ... }: host == "" || builtins.match "[0-9.]+|\\[[0-9a-fA-F:.]+]" host != null;
  isPrivileged = { port, ... }: port > 0 && port < 1024;
  # The address in the syntax of ListenStream=.
  listenStream = { host, port }: (if host == "" then "" else "${host}:") + toString port;

  compact = builtins.filter (value: value != null);
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      start = builtins.stringLength text - builtins.stringLength suffix;
    in
    start >= 0 && builtins.substring start (-1) text == suffix;

  # The values of a setting that may be a string, separated by commas, or a list.
  places =
    path:
    let
      value = get path;
      words = builtins.filter (word: builtins.isString word && word != "") (builtins.split ", *" value);
    in
    if builtins.isString value then
      words
    else if builtins.isList value then
      value
    else
      [ ];

  http = parse (get "listener.addr");
  hasAcme = isSet "acme.hostnames";
  acme = if hasAcme && get "acme.http_addr" != "" then parse (get "acme.http_addr") else null;
  federation = parse (get "federation.listen");
  operators = compact (map parse (places "operator.listen"));
  statuses = compact (map parse (places "status.listen"));
  probes = compact (map parse (places "probe.listen"));

  isAdminOff = places "admin.listen" == [ "off" ];
  # The path of a Unix socket, or null.
  unixPath =
    place:
    let
      path = builtins.match "(unix:)?(/.*)" place;
    in
    if path == null then null else builtins.elemAt path 1;
  adminPaths =
    let
      paths = compact (map unixPath (places "admin.listen"));
    in
    if isAdminOff then
      [ ]
    else if paths == [ ] then
      [ "${runtime}/admin.sock" ]
    else
      paths;
  adminAddresses = compact (
    map parse (builtins.filter (it: unixPath it == null) (places "admin.listen"))
  );

  runtime = "/run/snowflake-broker";
  state = "/var/lib/snowflake-broker";

  # True if systemd can open all of these addresses.
  canPass = addresses: socketActivation && builtins.all isNumeric addresses;
  # The sockets that systemd opens, by name; the broker opens the others.
  sockets =
    let
      passed = addresses: if canPass addresses then map listenStream addresses else [ ];
      one = address: passed (compact [ address ]);
      all = {
        http = one http;
        acme = one acme;
        federation = one federation;
        admin = (if socketActivation then adminPaths else [ ]) ++ passed adminAddresses;
      };
    in
    removeAttrs all (builtins.filter (name: all.${name} == [ ]) (builtins.attrNames all));
  # Addresses whose sockets the broker itself opens.
  ownAddresses =
    let
      own = addresses: if canPass addresses then [ ] else addresses;
    in
    operators
    ++ statuses
    ++ probes
    ++ own adminAddresses
    ++ builtins.concatMap (address: own (compact [ address ])) [
      http
      acme
      federation
    ];

  # Every address with its configuration key.
  listeners =
    let
      named = key: map (address: address // { inherit key; });
    in
    named "listener.addr" (compact [ http ])
    ++ named "acme.http_addr" (compact [ acme ])
    ++ named "federation.listen" (compact [ federation ])
    ++ named "admin.listen" adminAddresses
    ++ named "operator.listen" operators
    ++ named "status.listen" statuses
    ++ named "probe.listen" probes;
  # Pairs of addresses that cannot both be opened on one machine.
  clashes =
    let
      isEverywhere =
        { host, ... }:
        builtins.elem host [
          ""
          "0.0.0.0"
          "[::]"
        ];
      clash =
        one: other:
        one.port == other.port
        && one.port != 0
        && (one.host == other.host || isEverywhere one || isEverywhere other);
      count = builtins.length listeners;
      pairs = builtins.concatMap (
        index:
        let
          one = builtins.elemAt listeners index;
          later = builtins.genList (it: builtins.elemAt listeners (index + 1 + it)) (count - index - 1);
        in
        map (other: { inherit one other; }) (builtins.filter (clash one) later)
      ) (builtins.genList (index: index) count);
    in
    map ({ one, other }: "${one.key} and ${other.key}: ${toString one.port}") pairs;

  # Host names of bridges that no proxy would serve, since the allowed relay pattern does
  # not cover them.
  uncovered =
    let
      pattern = get "broker.allowed_relay_pattern";
      rule = if hasSuffix "$" pattern then dropLast pattern else pattern;
      dropLast = text: builtins.substring 0 (builtins.stringLength text - 1) text;
      isCovered =
        host: if hasPrefix "^" rule then host == builtins.substring 1 (-1) rule else hasSuffix rule host;
      host =
        bridge:
        let
          parts = builtins.match "wss?://([^/?#]*@)?(\\[[^]]*]|[^:/?#]*).*" bridge.webSocketAddress;
        in
        if parts == null then "" else builtins.elemAt parts 1;
    in
    if builtins.isString pattern then
      builtins.filter (name: !isCovered name) (map host bridges)
    else
      [ ];

  # Fingerprints of several bridges that are not meant as addresses of one: of these, only
  # the last would count.
  repeated = builtins.filter (
    it:
    let
      alike = builtins.filter (other: other.fingerprint == it) bridges;
    in
    builtins.length alike > 1 && !builtins.any isExtended alike
  ) (map (bridge: bridge.fingerprint) bridges);
  isExtended = bridge: bridge.weight or null != null || bridge.state or null != null;

  # Directories that the broker writes to, other than its own.
  writes =
    let
      directories = compact [
        (get "metrics.state_directory")
        (if hasAcme then get "acme.cert_cache" else null)
      ];
      files = compact [
        (get "metrics.metrics_log")
        (get "metrics.impact_log")
        (get "metrics.ip_count_prefix")
        # `admin bridges set --write-back`
        (get "broker.bridge_list_path")
        # `admin pools create`
        (get "admin.pools_file")
      ];
      isOwn = path: path == state || hasPrefix "${state}/" path;
      # Read-only locations, and values that are not absolute paths.
      isFixed =
        path: !hasPrefix "/" path || hasPrefix "/etc/" "${path}/" || hasPrefix builtins.storeDir path;
      isWritten = path: !isOwn path && !isFixed path;
      unique = builtins.foldl' (all: it: if builtins.elem it all then all else all ++ [ it ]) [ ];
    in
    unique (builtins.filter isWritten (directories ++ map builtins.dirOf files));

  hasFile = isSet "tls.cert" || isSet "tls.key";
  isInTheClear = isTrue "tls.disable" && !hasFile && !hasAcme;

  # All strings in a value, at any depth.
  texts =
    value:
    if builtins.isString value then
      [ value ]
    else if builtins.isList value then
      builtins.concatMap texts value
    else if builtins.isAttrs value then
      builtins.concatMap texts (builtins.attrValues value)
    else
      [ ];
  # The prefix and the credential's name in a string such as "%d/name" or
  # "--flag=%d/name"; null if it refers to no credential.
  reference = text: builtins.match "(--?[a-z0-9-]+=)?%d/(.*)" text;
  credential =
    text:
    let
      parts = reference text;
    in
    if parts == null then null else builtins.elemAt parts 1;
  unknownCredentials = builtins.filter (name: !builtins.elem name credentials) (
    compact (
      map credential (texts [
        settings
        extraConfigFiles
        environment
        extraArgs
      ])
    )
  );
  # systemd accepts no other characters in a credential's name.
  wrongNames = builtins.filter (
    name: builtins.match "[A-Za-z0-9_.-]+" name == null || builtins.match "\\.\\.?" name != null
  ) credentials;

  removeEmpty =
    set: removeAttrs set (builtins.filter (name: set.${name} == { }) (builtins.attrNames set));

  render =
    value:
    if builtins.isAttrs value then
      let
        isSet = name: value.${name} != null;
        names = builtins.filter isSet (builtins.attrNames value);
      in
      removeEmpty (
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = render value.${name};
          }) names
        )
      )
    else if builtins.isList value then
      map render value
    else if builtins.isString value && reference value != null then
      let
        before = builtins.head (reference value);
      in
      "${
        if before == null then "" else before
      }/run/credentials/snowflake-broker.service/${credential value}"
    else
      value;

  isInForceAfterReload =
    key:
    let
      lists = builtins.fromJSON (builtins.readFile ./reloaded.json);
      section = builtins.head (builtins.split "\\." key);
      isIn = keys: builtins.elem section keys || builtins.elem key keys;
    in
    isIn lists.reloaded && !isIn lists.not_reloaded;

  list = builtins.concatStringsSep ", ";

  # Mistakes that cannot work, unless another layer may complete the settings.
  assertions = [
    {
      assertion = http != null;
      message = "settings.listener.addr: must be :PORT, ADDRESS:PORT or [IPV6]:PORT, not ${builtins.toJSON (get "listener.addr")}";
    }
    {
      assertion = socketActivation && http != null -> isNumeric http;
      message = "settings.listener.addr: must be an IP address, since systemd opens the socket and does not resolve names; or set socketActivation = false";
    }
    {
      assertion = socketActivation && acme != null -> isNumeric acme;
      message = "settings.acme.http_addr: must be an IP address, since systemd opens the socket and does not resolve names; or set socketActivation = false";
    }
    {
      assertion = hasMoreLayers || hasAcme || hasFile || isTrue "tls.disable";
      message = "settings: no certificate: set one of acme.hostnames, tls.cert with tls.key, useACMEHost, or tls.disable";
    }
    {
      assertion = hasMoreLayers || isSet "tls.cert" == isSet "tls.key";
      message = "settings.tls: cert and key must be set together";
    }
    {
      assertion = !(hasAcme && hasFile);
      message = "settings.acme.hostnames: cannot be combined with tls.cert or useACMEHost: set only one of them";
    }
    {
      assertion = hasMoreLayers || hasAcme || !isSet "acme.email";
      message = "settings.acme.email: has no effect without acme.hostnames";
    }
    {
      assertion =
        hasMoreLayers
        || builtins.all isLoopback adminAddresses
        || isSet "admin.tokens"
        || isSet "admin.tls.client_ca";
      message = "settings.admin.listen: other machines reach it: set admin.tls.client_ca or admin.tokens";
    }
    {
      assertion =
        hasMoreLayers
        || federation == null
        || isLoopback federation
        || (isSet "federation.tls.cert" && isSet "federation.tls.key" && isSet "federation.tls.ca");
      message = "settings.federation.listen: other machines reach it: set federation.tls.cert, key and ca";
    }
    {
      assertion = hasMoreLayers || probes == [ ] || isSet "probe.addresses";
      message = "settings.probe.listen: needs probe.addresses, one or two public addresses of this machine";
    }
    {
      assertion = socketActivation || builtins.all (hasPrefix "${runtime}/") adminPaths;
      message = "settings.admin.listen: the service may make a socket only below ${runtime}, not at ${list adminPaths}; systemd can make it anywhere (socketActivation = true)";
    }
    {
      assertion = clashes == [ ];
      message = "settings: one port for two sockets: ${list clashes}";
    }
    {
      assertion = unknownCredentials == [ ];
      message = "credentials: no entry is named ${list unknownCredentials}";
    }
    {
      assertion = wrongNames == [ ];
      message = "credentials: letters, digits and _.- are allowed in a name, not ${list wrongNames}";
    }
    {
      assertion = hasMoreLayers || uncovered == [ ];
      message = "settings.broker.allowed_relay_pattern: does not cover these hosts of `bridges`, so no proxy would serve them: ${list uncovered}";
    }
    {
      assertion = repeated == [ ];
      message = "bridges: several have the fingerprint ${list repeated}, and none of them a weight or a state";
    }
  ];

  doubts = [
    {
      doubtful = openFirewall && isInTheClear && http != null && !isLoopback http;
      message = "openFirewall: the broker serves plain HTTP, so anyone on the path can read offers and answers: put a TLS-terminating reverse proxy in front of it, and make the broker reachable only from there";
    }
    {
      doubtful = isSet "tls.key" && credential (get "tls.key") != null;
      message = "settings.tls.key: systemd reads a credential only at start, so a renewed certificate needs a restart; to avoid that, use useACMEHost or a file that the service can read";
    }
    {
      doubtful = !builtins.all isLoopback adminAddresses && !isSet "admin.tls.cert";
      message = "settings.admin.listen: other machines reach it without TLS and may read tokens: set admin.tls.cert and key";
    }
    {
      doubtful = !builtins.all isLoopback statuses;
      message = "settings.status.listen: other machines that the firewall lets in see exact counts, without TLS: listen on 127.0.0.1 and use ssh -L, or set status.public instead";
    }
    {
      doubtful = isInTheClear && !builtins.all isLoopback probes;
      message = "settings.probe.listen: without a certificate it serves plain HTTP, and proxies ask by HTTPS: listen on 127.0.0.1, behind the reverse proxy that the broker is behind";
    }
  ];
in
{
  inherit assertions;

  warnings = map (doubt: doubt.message) (builtins.filter (doubt: doubt.doubtful) doubts);

  inherit sockets writes;

  # True if the broker itself binds a port below 1024.
  privilegedPort = builtins.any isPrivileged ownAddresses;

  # The TCP ports to open in the firewall. They never include the administration, operator
  # or status ports. No UDP port of NAT probes needs to be open: the broker sends first, and the
  # firewall lets replies in.
  publicPorts = map (address: address.port) (
    builtins.filter (address: !isLoopback address) (
      compact [
        http
        acme
        federation
      ]
      ++ probes
    )
  );

  # The settings that a reload does not apply. One of them is the source of the
  # certificate, whichever key determines it.
  needsRestart = {
    certificateFromFile = hasFile;
    settings = removeEmpty (
      builtins.mapAttrs (
        section: keys:
        if builtins.isAttrs keys then
          removeAttrs keys (
            builtins.filter (key: isInForceAfterReload "${section}.${key}") (builtins.attrNames keys)
          )
        else if isInForceAfterReload section then
          { }
        else
          keys
      ) settings
    );
  };

  # The settings as the broker reads them: without null values, which TOML cannot express,
  # and with the paths where systemd puts credentials.
  rendered = render settings;
  extraConfigFiles = render extraConfigFiles;
  extraArgs = render extraArgs;
}
