
B212J Ñ;’AP*'@T2BúÁØAx˜U@ªH‡AÅmÐAé0B’bqÀ–6ÃA9×“Ad^BW B7¨AGcBô¸BˆßP@EB½wÒA«îdBtîÜ@ Ã>ËZÉAjõéAÔöEÁ¼±ûA$";AjBBs»ÈA0ÀwA7SB®z8BÞxA\ƒ…A	 íAÄ:B’n1BD~ AR¢…BiMB