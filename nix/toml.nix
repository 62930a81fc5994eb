# A set as a TOML file, each section an inline table: for tests without nixpkgs.
set:

let
  # JSON's texts, numbers and truth values are TOML's.
  value =
    it:
    if builtins.isAttrs it then
      "{ ${list (pair " = ") it} }"
    else if builtins.isList it then
      "[ ${builtins.concatStringsSep ", " (map value it)} ]"
    else
      builtins.toJSON it;
  pair =
    between: name: it:
    "${builtins.toJSON name}${between}${value it}";
  list = one: it: builtins.concatStringsSep ", " (builtins.attrValues (builtins.mapAttrs one it));
in
builtins.concatStringsSep "" (
  builtins.attrValues (builtins.mapAttrs (name: it: "${pair " = " name it}\n") set)
)
