# The table of the module's options in docs/nixos.md. It needs no nixpkgs: of its library
# there is here what the options are written with, each type being its name and, if it
# has any, the options in it.
let
  concat = builtins.concatStringsSep;
  type = name: { inherit name; };
  within = name: inner: inner // { name = "${name} ${inner.name}"; };

  lib = {
    mkOption = option: option // { isOption = true; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = type "true or false";
        default = false;
        description = "Whether there is ${what}.";
      };
    mkPackageOption =
      _: name: _:
      lib.mkOption {
        type = type "package";
        defaultText = "pkgs.${name}";
        description = "The package with the program.";
      };
    literalExpression = text: text;
    types = {
      bool = type "true or false";
      str = type "string";
      package = type "package";
      path = type "path";
      externalPath = type "path, not in the store";
      ints.unsigned = type "number";
      strMatching = pattern: type "`${pattern}`";
      enum = values: type (concat " or " (map builtins.toJSON values));
      either = one: other: type "${one.name} or ${other.name}";
      nullOr = inner: inner // { name = "null or ${inner.name}"; };
      listOf = inner: within "list of" inner // { isList = true; };
      attrsOf = within "set of";
      submodule = { options, ... }: type "settings" // { inherit options; };
    };
  };

  options = import ./options.nix {
    inherit lib;
    pkgs = throw "the table of options needs no package";
    settingsType = null;
  };

  # One row for each option, in the order of their names.
  rows =
    path: option:
    if option ? isOption then
      [
        {
          name = path;
          inherit option;
        }
      ]
      ++ rowsIn (path + (if option.type ? isList then ".*" else "")) (option.type.options or { })
    else
      rowsIn path option;
  rowsIn =
    path: options:
    builtins.concatMap (name: rows (if path == "" then name else "${path}.${name}") options.${name}) (
      builtins.attrNames options
    );

  default =
    option:
    if option ? defaultText then
      "`${option.defaultText}`"
    else if option ? default then
      "`${builtins.toJSON option.default}`"
    else
      "has to be set";

  # As one cell of a row.
  cell =
    text:
    concat "\\|" (strings "\\|" (concat " " (builtins.filter (line: line != "") (strings "\n" text))));
  strings = separator: text: builtins.filter builtins.isString (builtins.split separator text);

  row =
    { name, option }:
    "| `${name}` | ${cell option.type.name} | ${default option} | ${cell option.description} |\n";
in
rec {
  all = rowsIn "" options;
  # The settings as they are when nobody sets any.
  defaults =
    let
      default =
        option: if option ? isOption then option.default else builtins.mapAttrs (_: default) option;
    in
    builtins.mapAttrs (_: default) options.settings.type.options;

  table = "| option | type | default | what |\n| --- | --- | --- | --- |\n" + concat "" (map row all);
}
