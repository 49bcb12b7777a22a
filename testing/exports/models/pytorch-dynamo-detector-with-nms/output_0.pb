
BindexJ È*Í?ZŸÁ[žtAÎAøÓŽÀ*¬—ÀB6Az!¨A…TÝÀ¯ÁdDA«íAºF<@"È:Á´Y)A»:èAhcÓ¿¼›ŒÁjVÐ@ ó¨AI„?È¿?ÀJi†A)ÛAŸ$Ä¿ –h@÷è¢?[uAAó’¯@TQCÁiõï@ŒþAp	ç>¸mÁ1Õ@´‡AŠ
gÁ¼ÙÀjãAWÁA